"""Notices slices that were edited by hand, in Slicer's Segment Editor or elsewhere, and protects them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal

_QUIET_SECONDS = 0.3  # the editor sends several events a stroke; comparing a whole CT takes about 20 ms


class CorrectionLogic:
    """Observes the segments of all cases.

    Args:
        workspace: State shared by the logics.
        clock: Returns seconds; replaced in tests.

    Attributes:
        noticed: Emits (case, slice indices) when slices were edited by hand.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.monotonic) -> None:
        self.noticed = Signal()
        self._workspace = workspace
        self._clock = clock
        self._editedAt: dict[str, float] = {}
        self._observed: dict[str, tuple[Any, list[int]]] = {}
        workspace.cases.removed.connect(self._onCaseRemoved)

    def tick(self) -> None:
        """Checks segments that were edited; called by the panel's timer."""
        for case in self._workspace.cases.all():
            self._observe(case)
            if self._clock() - self._editedAt.get(case.volumeId, self._clock()) >= _QUIET_SECONDS:
                self.check(case)

    def check(self, case: Case) -> list[int]:
        """Compares a case's segment with what was written to it, and marks slices that differ as corrected.

        Returns:
            The slices that were edited by hand since the last check.
        """
        self._editedAt.pop(case.volumeId, None)
        labelmap = case.labelmap
        if labelmap is None:
            return []
        planes = labelmap.externalChanges(case.sliceAxis)
        if not planes:
            return []
        before = {index: case.state(index) for index in planes}
        labelmap.acceptSlices(case.sliceAxis, planes)
        case.setStates([before[index].corrected_to(plane) for index, plane in planes.items()])
        case.undo.push(_("Manual correction"), before)
        edited = sorted(planes)
        self.noticed.emit(case, edited)
        return edited

    def openEditor(self) -> None:
        """Opens Slicer's Segment Editor on the segment.

        Raises:
            InputError: There is no segment yet.
        """
        case = self._workspace.case
        if case is None or case.labelmap is None:
            raise InputError(_("There is no mask to correct yet. Segment the liver or add a box first."))
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(case.segmentationNode)
        editor.setSourceVolumeNode(case.volumeNode)
        editor.setCurrentSegmentID(case.segmentId)

    def release(self) -> None:
        """Removes the protection of the slice in view; its mask stays until it is segmented again.

        Raises:
            InputError: The slice in view is not protected.
        """
        case, index = self._workspace.case, self._workspace.views.current
        if case is None or index is None or not case.state(index).corrected:
            raise InputError(_("The slice in view was not corrected by hand."))
        before = case.state(index)
        case.setStates([replace(before, corrected=False)])
        case.undo.push(_("Release slice"), {index: before})

    def teardown(self) -> None:
        """Checks once more, and stops observing."""
        for case in self._workspace.cases.all():
            if case.volumeId in self._editedAt:
                self.check(case)
        for volumeId in list(self._observed):
            self._forget(volumeId)

    def _observe(self, case: Case) -> None:
        labelmap = case.labelmap
        segmentation = None if labelmap is None else labelmap.segmentationNode.GetSegmentation()
        if self._observed.get(case.volumeId, (None,))[0] is segmentation:
            return
        self._forget(case.volumeId)
        case.aboutToWrite.connect(self._onAboutToWrite)
        if segmentation is None:
            return

        def onChanged(*_event: Any) -> None:
            if case.labelmap is not None and not case.labelmap.isWriting:
                self._editedAt[case.volumeId] = self._clock()

        kinds = slicer.vtkSegmentation
        events = (kinds.SourceRepresentationModified, kinds.RepresentationModified, kinds.SegmentModified)
        self._observed[case.volumeId] = (segmentation, [segmentation.AddObserver(event, onChanged) for event in events])
        # It may have been edited before it was observed.
        self._editedAt[case.volumeId] = self._clock()

    def _forget(self, volumeId: str) -> None:
        segmentation, tags = self._observed.pop(volumeId, (None, []))
        for tag in tags:
            segmentation.RemoveObserver(tag)

    def _onAboutToWrite(self, case: Case) -> None:
        if case.volumeId in self._editedAt:
            self.check(case)

    def _onCaseRemoved(self, case: Case) -> None:
        self._editedAt.pop(case.volumeId, None)
        self._forget(case.volumeId)
