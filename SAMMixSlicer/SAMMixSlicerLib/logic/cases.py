"""The cases of the scene: created, restored after loading a scene, and removed with their nodes."""

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
from SAMMixSlicerLib.worker import SliceChanged, Worker

_log = logging.getLogger("SAMMixSlicerLib")


class Cases(VTKObservationMixin):
    """The cases, at most one for each volume.

    Args:
        worker: The computing process.
        sceneChanges: Emits when a scene was closed or loaded.

    Attributes:
        removed: Emits (case) when its volume was removed from the scene.
        reloaded: Emits when a scene was closed or loaded, after its cases were restored.
        failed: Emits (sentence) when a case could not be restored.
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
        worker.on(SliceChanged).connect(self._onSliceChanged)
        self.restoreAll()

    def all(self) -> list[Case]:
        """All cases."""
        return list(self._cases.values())

    def find(self, volumeId: str) -> Case | None:
        """The case of a volume node, by the node's ID, or None."""
        return self._cases.get(volumeId)

    def getOrCreate(self, volumeNode: Any) -> Case:
        """The case of a volume node; a new one if there is none.

        Raises:
            InputError: The volume cannot be used.
        """
        existing = self._cases.get(volumeNode.GetID())
        if existing is not None:
            return existing
        node = case_node.newCaseNode(volumeNode)
        try:
            case = Case(node, self._worker)
        except InputError:
            slicer.mrmlScene.RemoveNode(node)
            raise
        self._cases[case.volumeId] = case
        return case

    def discard(self, volumeNode: Any) -> None:
        """Drops the case of a volume with its boxes; the next action begins a new one. The segmentation stays."""
        case = self._cases.get(volumeNode.GetID())
        if case is not None:
            self._remove(case)
            slicer.mrmlScene.RemoveNode(case.node)

    def restoreAll(self) -> None:
        """Creates a case for every case node of the scene that has none yet."""
        for node in case_node.caseNodes():
            volumeNode = node.GetNodeReference(case_node.VOLUME)
            if volumeNode is None or volumeNode.GetID() in self._cases:
                continue
            try:
                case = Case(node, self._worker)
                self._cases[case.volumeId] = case
                case.restore()
            except InputError as error:
                _log.warning("SAMMix: %s", error)
                self.failed.emit(str(error))
        self.reloaded.emit()

    def teardown(self) -> None:
        """Saves all cases, closes their volumes, and stops observing the scene."""
        self.removeObservers()
        self._worker.on(SliceChanged).disconnect(self._onSliceChanged)
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
