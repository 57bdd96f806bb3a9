"""Shows lesions as segments beside the liver's: one each, in a labelmap no larger than the lesion."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer

from sammix_core.lesions.lesion import FIRST_LESION
from sammix_core.lesions.segments import lesion_segment
from sammix_core.lesions.state import LesionState, LesionStatus
from sammix_core.masks.packed_mask import BoxedMask
from SAMMixSlicerLib.scene.labelmap import emptyLabelmap, offsetOnGrid, scalarsOf
from SAMMixSlicerLib.scene.segment_output import gridToSegmentation
from SAMMixSlicerLib.scene.surface import hasSurface, makeSmallSurface

_WORK_SECONDS = 0.03
_FILL_OPACITY = {LesionStatus.CANDIDATE: 0.0, LesionStatus.ACCEPTED: 0.45}


class LesionSegments:
    """The segments of a case's lesions in one segmentation.

    Candidates are outlined, accepted lesions are filled, rejected lesions have no segment.

    Args:
        segmentationNode: The segmentation; its source representation is a binary labelmap.
        volumeNode: The CT.
        ids: Segment by number of the lesion, as saved; segments that no longer exist are ignored.

    Attributes:
        isWriting: Whether we are changing the segments ourselves.
    """

    def __init__(self, segmentationNode: Any, volumeNode: Any, ids: Mapping[int, str]) -> None:
        self.segmentationNode = segmentationNode
        self.isWriting = False
        self._volumeNode = volumeNode
        self._ids = {number: name for number, name in ids.items() if self._segmentation.GetSegment(name) is not None}
        self._written: dict[int, tuple[Any, int, BoxedMask]] = {}
        self._pendingStates: dict[int, LesionState | None] = {}
        self._pending3d: dict[int, None] = {}
        self._is3d = False

    @property
    def ids(self) -> dict[int, str]:
        """Segment by number of the lesion."""
        return dict(self._ids)

    def show(self, states: Mapping[int, LesionState | None]) -> None:
        """Updates the segments of lesions; if there are many, `work` does the rest later.

        Args:
            states: By number; None for a removed lesion.
        """
        self._pendingStates.update(states)
        self.work()

    def work(self) -> bool:
        """Continues `show` and `show3d` for about 30 ms, since each segment takes Slicer milliseconds.

        Returns:
            Whether anything was done.
        """
        deadline = time.perf_counter() + _WORK_SECONDS
        hasWork = bool(self._pendingStates or self._pending3d)
        self.isWriting = True
        try:
            while self._pendingStates and time.perf_counter() < deadline:
                number = next(iter(self._pendingStates))
                state = self._pendingStates.pop(number)
                if state is None or state.status is LesionStatus.REJECTED:
                    self._remove(number)
                else:
                    self._show(state)
            while self._pending3d and time.perf_counter() < deadline:
                self._update3d(self._pending3d.popitem()[0])
        finally:
            self.isWriting = False
        return hasWork

    def show3d(self, isShown: bool) -> None:
        """Shows or hides all lesions in the 3-D views."""
        self._is3d = isShown
        self._pending3d.update(dict.fromkeys(self._ids))
        self.work()

    def externalChanges(self, states: Mapping[int, LesionState]) -> dict[int, BoxedMask | None]:
        """Returns the lesions whose segments were changed by someone else; None for a removed or empty segment.

        Args:
            states: All lesions as we wrote them.
        """
        changed: dict[int, BoxedMask | None] = {}
        for number, name in list(self._ids.items()):
            if number not in states or number in self._pendingStates:
                continue
            if self._segmentation.GetSegment(name) is None:
                del self._ids[number]
                self._written.pop(number, None)
                changed[number] = None
                continue
            image = self._image(name)
            before = self._written.get(number)
            if before is not None and image is before[0] and image.GetMTime() == before[1]:
                continue
            mask = self._readMask(name)
            if mask != states[number].mask:
                changed[number] = mask
            elif image is not None and mask is not None:
                self._written[number] = (image, image.GetMTime(), mask)
        return changed

    @property
    def _segmentation(self) -> Any:
        return self.segmentationNode.GetSegmentation()

    def _show(self, state: LesionState) -> None:
        name, isChanged = self._ids.get(state.number), False
        if name is None or self._segmentation.GetSegment(name) is None:
            name, isChanged = self._add(state), True
            self._ids[state.number] = name
        elif self._written.get(state.number, (None, 0, None))[2] != state.mask:
            self._separate(name)
            segment = self._segmentation.GetSegment(name)
            segment.AddRepresentation(_labelmapName(), self._labelmap(state.mask))
            segment.SetLabelValue(1)
            self._segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, name)
            isChanged = True
        if isChanged and self._is3d:
            makeSmallSurface(self.segmentationNode, name)
        image = self._image(name)
        self._written[state.number] = (image, image.GetMTime(), state.mask)
        display, opacity = self.segmentationNode.GetDisplayNode(), _FILL_OPACITY[state.status]
        if display is not None and display.GetSegmentOpacity2DFill(name) != opacity:
            display.SetSegmentOpacity2DFill(name, opacity)

    def _add(self, state: LesionState) -> str:
        properties = lesion_segment(state.number + FIRST_LESION - 1)
        segment = slicer.vtkSegment()
        segment.SetName(properties.name)
        segment.SetColor(*properties.color)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), properties.terminology_entry)
        segment.AddRepresentation(_labelmapName(), self._labelmap(state.mask))
        segmentId = self._segmentation.GenerateUniqueSegmentID(properties.name)
        self._segmentation.AddSegment(segment, segmentId)
        return segmentId

    def _update3d(self, number: int) -> None:
        """Shows or hides a lesion in 3-D."""
        name, display = self._ids.get(number), self.segmentationNode.GetDisplayNode()
        if name is None or display is None or self._segmentation.GetSegment(name) is None:
            return
        if self._is3d and not hasSurface(self.segmentationNode, name):
            makeSmallSurface(self.segmentationNode, name)
        if bool(display.GetSegmentVisibility3D(name)) != self._is3d:
            display.SetSegmentVisibility3D(name, self._is3d)

    def _remove(self, number: int) -> None:
        name = self._ids.pop(number, None)
        self._written.pop(number, None)
        if name is not None and self._segmentation.GetSegment(name) is not None:
            self._segmentation.RemoveSegment(name)

    def _labelmap(self, mask: BoxedMask) -> Any:
        image = emptyLabelmap(self._matrix(), mask.shape, startKji=mask.start)
        scalarsOf(image)[...] = mask.unpack()
        return image

    def _readMask(self, segmentId: str) -> BoxedMask | None:
        image = self._image(segmentId)
        if image is None or image.IsEmpty():
            return None
        value = self._segmentation.GetSegment(segmentId).GetLabelValue()
        offset = offsetOnGrid(image, self._matrix())
        n_i, n_j, n_k = self._volumeNode.GetImageData().GetDimensions()
        if offset is None:
            whole = emptyLabelmap(self._matrix(), (n_k, n_j, n_i), image.GetScalarType())
            resampled = slicer.vtkOrientedImageData()
            slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
                image, whole, resampled, False, False
            )
            image, offset = resampled, (0, 0, 0)
        inside = scalarsOf(image) == value
        starts = [low + shift for low, shift in zip(image.GetExtent()[::2], offset, strict=True)][::-1]
        # Voxels painted outside the CT are dropped.
        crop = [
            slice(max(0, -start), max(0, size - start)) for start, size in zip(starts, (n_k, n_j, n_i), strict=True)
        ]
        cropped = inside[tuple(crop)]
        k, j, i = (max(start, 0) for start in starts)
        return BoxedMask.pack(cropped, (k, j, i)) if cropped.any() else None

    def _separate(self, segmentId: str) -> None:
        image = self._image(segmentId)
        others = (name for name in self._segmentation.GetSegmentIDs() if name != segmentId)
        if image is not None and any(self._image(name) is image for name in others):
            self._segmentation.SeparateSegmentLabelmap(segmentId)

    def _image(self, segmentId: str) -> Any:
        return self._segmentation.GetSegment(segmentId).GetRepresentation(_labelmapName())

    def _matrix(self) -> np.ndarray:
        return gridToSegmentation(self._volumeNode, self.segmentationNode)


def colorOf(number: int) -> tuple[float, float, float]:
    """(red, green, blue) of a lesion, from 0 to 1."""
    return lesion_segment(number + FIRST_LESION - 1).color


def _labelmapName() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
