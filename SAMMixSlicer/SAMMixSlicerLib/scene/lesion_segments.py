"""Lesions as segments: one each, in a labelmap no larger than the lesion, beside the liver's segment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer

from sammix_core.lesions.lesion import FIRST_LESION
from sammix_core.lesions.segments import lesion_segment
from sammix_core.lesions.state import LesionState, LesionStatus
from sammix_core.masks.boxed_mask import BoxedMask
from SAMMixSlicerLib.scene.labelmap import emptyLabelmap, offsetOnGrid, scalarsOf
from SAMMixSlicerLib.scene.segment_output import gridToSegmentation
from SAMMixSlicerLib.scene.surface import hasSurface, makeSmallSurface

_WORK_SECONDS = 0.03
_FILL_OPACITY = {LesionStatus.CANDIDATE: 0.0, LesionStatus.ACCEPTED: 0.45}


class LesionSegments:
    """The segments of a case's lesions in one segmentation.

    Candidates have an outline alone, lesions that were accepted are filled, those that were rejected have no segment.

    Args:
        segmentationNode: The segmentation; its source representation is a binary labelmap.
        volumeNode: The CT.
        ids: Segment by number of the lesion, as they were kept; those that are not there any more are forgotten.

    Attributes:
        isWriting: Whether a change is our own.
    """

    def __init__(self, segmentationNode: Any, volumeNode: Any, ids: Mapping[int, str]) -> None:
        self.segmentationNode = segmentationNode
        self.isWriting = False
        self._volumeNode = volumeNode
        self._ids = {number: name for number, name in ids.items() if self._segmentation.GetSegment(name) is not None}
        self._written: dict[int, tuple[Any, int, BoxedMask]] = {}
        self._waiting: dict[int, LesionState | None] = {}
        self._turning: dict[int, None] = {}
        self._is3d = False

    @property
    def ids(self) -> dict[int, str]:
        """Segment by number of the lesion."""
        return dict(self._ids)

    def show(self, states: Mapping[int, LesionState | None]) -> None:
        """Makes the segments of some lesions what they are now; where there are many, `work` does the rest.

        Args:
            states: By number; None for a lesion that is not there any more.
        """
        self._waiting.update(states)
        self.work()

    def work(self) -> bool:
        """Goes on with what `show` began, for some 30 ms: each segment takes Slicer milliseconds.

        Returns:
            Whether anything was done.
        """
        until = time.perf_counter() + _WORK_SECONDS
        isAny = bool(self._waiting or self._turning)
        self.isWriting = True
        try:
            while self._waiting and time.perf_counter() < until:
                number = next(iter(self._waiting))
                state = self._waiting.pop(number)
                if state is None or state.status is LesionStatus.REJECTED:
                    self._remove(number)
                else:
                    self._show(state)
            while self._turning and time.perf_counter() < until:
                self._turn(self._turning.popitem()[0])
        finally:
            self.isWriting = False
        return isAny

    def show3d(self, isShown: bool) -> None:
        """Shows or hides all in the 3-D views; with the liver's surface there, those without one would hide it."""
        self._is3d = isShown
        self._turning.update(dict.fromkeys(self._ids))
        self.work()

    def changedByOthers(self, states: Mapping[int, LesionState]) -> dict[int, BoxedMask | None]:
        """The lesions whose segments are not as they should be; None for one that was removed or emptied.

        Args:
            states: All lesions as they should be.
        """
        found: dict[int, BoxedMask | None] = {}
        for number, name in list(self._ids.items()):
            if number not in states or number in self._waiting:
                continue
            if self._segmentation.GetSegment(name) is None:
                del self._ids[number]
                self._written.pop(number, None)
                found[number] = None
                continue
            image = self._image(name)
            before = self._written.get(number)
            if before is not None and image is before[0] and image.GetMTime() == before[1]:
                continue
            mask = self._read(name)
            if mask != states[number].mask:
                found[number] = mask
            elif image is not None and mask is not None:
                self._written[number] = (image, image.GetMTime(), mask)
        return found

    @property
    def _segmentation(self) -> Any:
        return self.segmentationNode.GetSegmentation()

    def _show(self, state: LesionState) -> None:
        name, isNew = self._ids.get(state.number), False
        if name is None or self._segmentation.GetSegment(name) is None:
            name, isNew = self._add(state), True
            self._ids[state.number] = name
        elif self._written.get(state.number, (None, 0, None))[2] != state.mask:
            self._separate(name)
            segment = self._segmentation.GetSegment(name)
            segment.AddRepresentation(_labelmapName(), self._labelmap(state.mask))
            segment.SetLabelValue(1)
            self._segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, name)
            isNew = True
        if isNew and self._is3d:
            makeSmallSurface(self.segmentationNode, name)
        image = self._image(name)
        self._written[state.number] = (image, image.GetMTime(), state.mask)
        display, opacity = self.segmentationNode.GetDisplayNode(), _FILL_OPACITY[state.status]
        if display is not None and display.GetSegmentOpacity2DFill(name) != opacity:
            display.SetSegmentOpacity2DFill(name, opacity)

    def _add(self, state: LesionState) -> str:
        kind = lesion_segment(state.number + FIRST_LESION - 1)
        segment = slicer.vtkSegment()
        segment.SetName(kind.name)
        segment.SetColor(*kind.color)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), kind.terminology_entry)
        segment.AddRepresentation(_labelmapName(), self._labelmap(state.mask))
        segmentId = self._segmentation.GenerateUniqueSegmentID(kind.name)
        self._segmentation.AddSegment(segment, segmentId)
        return segmentId

    def _turn(self, number: int) -> None:
        """Shows a lesion in 3-D, or hides it."""
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

    def _read(self, segmentId: str) -> BoxedMask | None:
        image = self._image(segmentId)
        if image is None or image.IsEmpty():
            return None
        value = self._segmentation.GetSegment(segmentId).GetLabelValue()
        offset = offsetOnGrid(image, self._matrix())
        n_i, n_j, n_k = self._volumeNode.GetImageData().GetDimensions()
        if offset is None:
            whole = emptyLabelmap(self._matrix(), (n_k, n_j, n_i), image.GetScalarType())
            found = slicer.vtkOrientedImageData()
            slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
                image, whole, found, False, False
            )
            image, offset = found, (0, 0, 0)
        inside = scalarsOf(image) == value
        start = [low + shift for low, shift in zip(image.GetExtent()[::2], offset, strict=True)][::-1]
        # What was painted beyond the CT is none of it.
        cut = [slice(max(0, -at), max(0, size - at)) for at, size in zip(start, (n_k, n_j, n_i), strict=True)]
        part = inside[tuple(cut)]
        k, j, i = (max(at, 0) for at in start)
        return BoxedMask.pack(part, (k, j, i)) if part.any() else None

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
    """The colour of a lesion, from 0 to 1."""
    return lesion_segment(number + FIRST_LESION - 1).color


def _labelmapName() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
