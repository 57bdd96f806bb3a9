"""Shows the 3-D surface of the mask; the worker makes it, since that takes a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene import surface
from SAMMixSlicerLib.scene.segment_output import gridToSegmentation
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, Outcome, SurfaceMade
from SAMMixSlicerLib.worker.mask_commands import MakeSurface


class SurfaceLogic:
    """Shows and hides the surface of the current case.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.

    Attributes:
        changed: Emits when the surface was made, hidden or has become outdated.
    """

    def __init__(self, workspace: Workspace, actions: Actions) -> None:
        self.changed = Signal()
        self._workspace = workspace
        self._actions = actions
        self._case: Case | None = None
        self._pending: dict[int, tuple[Case, Mapping[int, SliceState]]] = {}
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.worker.on(SurfaceMade).connect(self._onMade)
        workspace.worker.on(Finished).connect(self._onFinished)

    @property
    def isShown(self) -> bool:
        """Whether an up-to-date 3-D surface is visible."""
        case = self._case
        return (
            case is not None
            and case.labelmap is not None
            and surface.isSurfaceShown(case.segmentationNode, case.segmentId)
        )

    def show(self) -> None:
        """Shows the 3-D surface of the current mask.

        Raises:
            InputError: There is no mask.
        """
        case = self._case
        if case is None or case.labelmap is None or not any(state.mask for state in case.states.values()):
            raise InputError(_("There is no mask yet."))
        if surface.hasSurface(case.segmentationNode, case.segmentId):
            self._show(case)
            return
        mask = case.maskOnGrid(gridToSegmentation(case.volumeNode, case.segmentationNode))
        command = MakeSurface(case.volumeId, mask, surface.smoothingOf(case.segmentationNode))
        request = self._workspace.worker.submit(command)
        self._pending[request] = (case, dict(case.states))
        self._actions.begin(_("3-D surface"), case, {}, request, done=_("The 3-D surface is ready."))

    def hide(self) -> None:
        """Hides the 3-D surface of our segment."""
        if self._case is not None and self._case.labelmap is not None:
            surface.hideSurface(self._case.segmentationNode, self._case.segmentId)
        self.changed.emit()

    def _show(self, case: Case) -> None:
        surface.showSurface(case.segmentationNode, case.segmentId)
        slicer.util.resetThreeDViews()
        self.changed.emit()

    def _onMade(self, event: SurfaceMade) -> None:
        case, states = self._pending.pop(event.request, (None, {}))
        if case is None or case is not self._case or case.labelmap is None:
            return
        if any(states.get(index, state.cleared()).mask is not state.mask for index, state in case.states.items()):
            return  # the mask was edited in the meantime, and the surface is outdated
        surface.setSurface(case.segmentationNode, case.segmentId, event.points, event.normals, event.triangles)
        self._show(case)

    def _onFinished(self, event: Finished) -> None:
        case, _states = self._pending.pop(event.request, (None, {}))
        if case is not None and case is self._case and event.outcome is Outcome.FAILED and case.labelmap is not None:
            self._show(case)  # no VTK in the worker: Slicer makes the surface here

    def _onCaseChanged(self, case: Case | None) -> None:
        if self._case is not None:
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case = case
        if case is not None:
            case.changed.connect(self._onSlicesChanged)
        self.changed.emit()

    def _onSlicesChanged(self, _indices: Any) -> None:
        self.changed.emit()
