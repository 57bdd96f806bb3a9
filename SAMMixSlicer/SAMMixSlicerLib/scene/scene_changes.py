"""When the scene is being replaced or a node removed, and when that is over.

Slicer's node boxes choose other nodes meanwhile, which no user has chosen, and some of it after `IsImporting` and
`IsClosing` are false again. So we are busy from before the first observer hears of it until after the last one has.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from SAMMixSlicerLib.signals import Signal

_BEFORE_ALL_OTHERS, _AFTER_ALL_OTHERS = 1000.0, -1000.0


class SceneChanges(VTKObservationMixin):
    """Watches the scene.

    Attributes:
        replaced: Emits when a scene was closed or loaded and everybody else has heard of it.
        nodeRemoved: Emits (node) when a node was removed and everybody else has heard of it.
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.replaced = Signal()
        self.nodeRemoved = Signal()
        self._replacing = 0
        self._removing = 0
        scene = slicer.mrmlScene
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self._onStart, priority=_BEFORE_ALL_OTHERS)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onEnd, priority=_AFTER_ALL_OTHERS)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onRemoving, priority=_BEFORE_ALL_OTHERS)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onRemoved, priority=_AFTER_ALL_OTHERS)

    @property
    def isBusy(self) -> bool:
        """Whether what node boxes emit now is their own doing, and not the user's."""
        return bool(self._replacing or self._removing)

    def teardown(self) -> None:
        """Stops watching."""
        self.removeObservers()

    def _onStart(self, *_event: Any) -> None:
        self._replacing += 1

    def _onEnd(self, *_event: Any) -> None:
        self._replacing = max(0, self._replacing - 1)
        if not self._replacing:
            self._removing = 0
            self.replaced.emit()

    def _onRemoving(self, *_event: Any) -> None:
        self._removing += 1

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onRemoved(self, _scene: Any, _event: Any, node: Any) -> None:
        self._removing = max(0, self._removing - 1)
        if not self.isBusy:
            self.nodeRemoved.emit(node)
