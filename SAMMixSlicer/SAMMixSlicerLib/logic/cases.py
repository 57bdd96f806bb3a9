"""The cases of the scene: made, found again after loading, and given up when their nodes go."""

from __future__ import annotations

import logging
from typing import Any

import slicer
from slicer.util import VTKObservationMixin

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.scene import case_node
from SAMMixSlicerLib.scene.scene_changes import SceneChanges
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Worker


class Cases(VTKObservationMixin):
    """At most one case a volume.

    Args:
        worker: Computes.
        sceneChanges: Tells when a scene was closed or loaded.

    Attributes:
        removed: Emits (case) when its volume has left the scene.
        reloaded: Emits when a scene was closed or loaded, with the cases that there are then.
        failed: Emits (sentence).
    """

    def __init__(self, worker: Worker, sceneChanges: SceneChanges) -> None:
        VTKObservationMixin.__init__(self)
        self.removed = Signal()
        self.reloaded = Signal()
        self.failed = Signal()
        self._worker = worker
        self._cases: dict[str, Case] = {}
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved)
        self.addObserver(scene, scene.StartCloseEvent, self._onClose)
        sceneChanges.replaced.connect(self.restoreAll)
        worker.sliceChanged.connect(self._onSliceChanged)
        self.restoreAll()

    def all(self) -> list[Case]:
        """The cases there are."""
        return list(self._cases.values())

    def find(self, volumeId: str) -> Case | None:
        """The case of a volume, by the ID of its node, or None."""
        return self._cases.get(volumeId)

    def of(self, volumeNode: Any) -> Case:
        """The case of a volume; a new one if there is none.

        Raises:
            InputError: The volume cannot be used.
        """
        found = self._cases.get(volumeNode.GetID())
        if found is not None:
            return found
        node = case_node.newCaseNode(volumeNode)
        try:
            case = Case(node, self._worker)
        except InputError:
            slicer.mrmlScene.RemoveNode(node)
            raise
        self._cases[case.volumeId] = case
        return case

    def restoreAll(self) -> None:
        """Makes a case of every case node that has none yet."""
        for node in case_node.caseNodes():
            volumeNode = node.GetNodeReference(case_node.VOLUME)
            if volumeNode is None or volumeNode.GetID() in self._cases:
                continue
            try:
                case = Case(node, self._worker)
                self._cases[case.volumeId] = case
                case.restore()
            except InputError as error:
                logging.warning("SAMMix: %s", error)
                self.failed.emit(str(error))
        self.reloaded.emit()

    def giveUp(self) -> None:
        """Saves all, takes the volumes from the worker and stops listening (the module goes or is reloaded)."""
        self.removeObservers()
        self._worker.sliceChanged.disconnect(self._onSliceChanged)
        for case in self._cases.values():
            case.save()
            case.close()
        self._cases.clear()

    def _remove(self, case: Case) -> None:
        del self._cases[case.volumeId]
        case.close()
        self.removed.emit(case)

    def _onSliceChanged(self, event: Any) -> None:
        case = self._cases.get(event.volume_id)
        if case is not None and not case.isSetting:
            case.showChanged([event.state.slice_index])

    def _onNodeRemoved(self, *_event: Any) -> None:
        if slicer.mrmlScene.IsClosing():
            return
        for case in self.all():
            if not slicer.mrmlScene.IsNodePresent(case.volumeNode):
                self._remove(case)
                if slicer.mrmlScene.IsNodePresent(case.node):
                    slicer.mrmlScene.RemoveNode(case.node)

    def _onClose(self, *_event: Any) -> None:
        for case in self.all():
            self._remove(case)
