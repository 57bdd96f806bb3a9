"""Tells when the scene is being replaced or a node removed, and when that is over.

Slicer's node selectors choose other nodes meanwhile without the user, partly after `IsImporting` and `IsClosing` have
become false. So `isBusy` is true from before the first observer is called until after the last one.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from SAMMixSlicerLib.signals import Signal

_FIRST, _LAST = 1000.0, -1000.0


class SceneChanges(VTKObservationMixin):
    """Observes the scene.

    Attributes:
        replaced: Emits when a scene was closed or loaded, after all other observers were called.
        nodeRemoved: Emits (node) when a node was removed, after all other observers were called.
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.replaced = Signal()
        self.nodeRemoved = Signal()
        self._replacing = 0
        self._removing = 0
        scene = slicer.mrmlScene
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self._onStart, priority=_FIRST)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onEnd, priority=_LAST)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onRemoving, priority=_FIRST)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onRemoved, priority=_LAST)

    @property
    def isBusy(self) -> bool:
        """Whether node selectors may be changing without the user."""
        return bool(self._replacing or self._removing)

    def teardown(self) -> None:
        """Stops observing the scene."""
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
