"""Shows the box of the slice in view, and lets the user drag, add, delete, reset and interpolate boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from sammix_core.boxes import Box, BoxSource
from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.box_geometry import Edges
from SAMMixSlicerLib.scene.box_roi import BoxRoi
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker.commands import InterpolateBoxes, ResetSlices, SegmentSlice

Confirm = Callable[[str], bool]


class BoxLogic:
    """Edits boxes; the worker updates the masks.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
        confirm: Asks the user a yes-or-no question.

    Attributes:
        changed: Emits when another box, or none, is shown.
    """

    def __init__(self, workspace: Workspace, actions: Actions, confirm: Confirm) -> None:
        self.changed = Signal()
        self.roi = BoxRoi()
        self._workspace = workspace
        self._actions = actions
        self._confirm = confirm
        self._case: Case | None = None
        self.roi.released.connect(self._onReleased)
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.parameterChanged.connect(lambda _parameter: self.refresh())
        workspace.views.moved.connect(lambda _index: self.refresh())
        workspace.views.viewsChanged.connect(self.refresh)
        actions.ended.connect(lambda _action, _event: self.refresh())

    def refresh(self) -> None:
        """Shows the current box of the slice in view; a box that is being dragged stays where it is."""
        if self.roi.isDragged:
            return
        case, index = self._case, self._workspace.views.current
        box = None if case is None or index is None else case.state(index).box
        isShown = self._workspace.parameter.showBoxes and not self._workspace.isSceneBusy
        if case is None or box is None or not isShown:
            self.roi.hide()
        else:
            viewIds = [node.GetID() for node in self._workspace.views.alignedViews()]
            self.roi.show(case.volumeNode, case.sliceAxis, box, viewIds)
        self.changed.emit()

    def setBox(self, index: int, edges: Edges) -> None:
        """Sets the box of a slice as the user's own, and segments that slice.

        Args:
            index: The slice.
            edges: Half-open (i_min, j_min, i_max, j_max).

        Raises:
            InputError: The slice cannot be segmented; the sentence says why.
        """
        case = self._workspace.prepareCase()
        force = self._mayReplace(case, [index])
        if force is None:
            self.refresh()
            return
        before = {index: case.state(index)}
        box = Box(index, *edges, source=BoxSource.EDITED)
        request = self._workspace.worker.submit(SegmentSlice(case.volumeId, box, force))
        self._actions.begin(_("Box"), case, before, request)

    def add(self) -> None:
        """Adds a box to the slice in view: a copy of the nearest box, or one in the middle if there is none.

        Raises:
            InputError: No slice is in view, or the slice already has a box.
        """
        case = self._workspace.prepareCase()
        index = self._current()
        if case.state(index).box is not None:
            raise InputError(_("Slice {index} already has a box. Drag its edges.").format(index=index))
        self.setBox(index, self._initialEdges(case, index))

    def delete(self) -> None:
        """Deletes the box and the mask of the slice in view; a run does not bring back an automatic box.

        Raises:
            InputError: No slice is in view.
        """
        case, index = self._case, self._current()
        if case is None or self._mayReplace(case, [index]) is None:
            return
        before = case.state(index)
        case.setStates([before.cleared()])
        case.undo.push(_("Delete box"), {index: before})

    def reset(self) -> None:
        """Restores the automatic box of the slice in view.

        Raises:
            InputError: No slice is in view.
        """
        case = self._workspace.prepareCase()
        index = self._current()
        force = self._mayReplace(case, [index])
        if force is None:
            return
        before = {index: case.state(index)}
        request = self._workspace.worker.submit(ResetSlices(case.volumeId, (index,), force))
        self._actions.begin(_("Reset box"), case, before, request)

    def interpolate(self) -> None:
        """Fills the slices between edited boxes with interpolated boxes, and segments them.

        Raises:
            InputError: Fewer than two boxes were edited, or they are on adjacent slices.
        """
        case = self._workspace.prepareCase()
        keyframes = case.boxes().keyframes
        if len(keyframes) < 2 or keyframes[-1] - keyframes[0] < 2:
            raise InputError(_("Edit the boxes of two slices with other slices between them, then interpolate."))
        before = {index: case.state(index) for index in range(keyframes[0], keyframes[-1] + 1)}
        request = self._workspace.worker.submit(InterpolateBoxes(case.volumeId))
        self._actions.begin(_("Interpolate"), case, before, request)

    def teardown(self) -> None:
        """Removes the ROI from the scene."""
        self.roi.remove()

    def _mayReplace(self, case: Case, indices: list[int]) -> bool | None:
        """Whether to replace corrected masks: False if there are none, None if the user wants to keep them."""
        corrected = [index for index in indices if case.state(index).corrected]
        if not corrected:
            return False
        question = _("Slice {index} was corrected by hand. Replace its mask?").format(index=corrected[0])
        return True if self._confirm(question) else None

    def _current(self) -> int:
        index = self._workspace.views.current
        if index is None:
            raise InputError(_("Show a slice of the volume in a slice view first."))
        return index

    def _initialEdges(self, case: Case, index: int) -> Edges:
        track = case.boxes()
        if len(track):
            return track[min(track, key=lambda other: abs(other - index))].edges
        width, height = (track.shape["ijk".index(axis)] for axis in track.in_plane_axes)
        return (width // 4, height // 4, max(width // 4 + 1, 3 * width // 4), max(height // 4 + 1, 3 * height // 4))

    def _onReleased(self, index: int, edges: Edges) -> None:
        case = self._case
        box = None if case is None else case.state(index).box
        if box is None or edges == box.edges:
            self.refresh()  # snap back to voxel borders
            return
        self._workspace.attempt(lambda: self.setBox(index, edges))

    def _onCaseChanged(self, case: Case | None) -> None:
        if self._case is not None:
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case = case
        if case is None:
            self.roi.remove()
        else:
            case.changed.connect(self._onSlicesChanged)
        self.refresh()

    def _onSlicesChanged(self, indices: Any) -> None:
        if self._workspace.views.current in indices:
            self.refresh()
