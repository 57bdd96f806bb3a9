"""Reads and writes the labelmap of one segment slice by slice, in place.

`slicer.util.updateSegmentBinaryLabelmapFromArray` takes half a second for a whole CT; writing one slice into the
segmentation's labelmap takes less than a millisecond. Three conditions make that safe, and are ensured before each
access: the segment has a layer of its own, so that no other segment is overwritten; the labelmap covers the volume's
whole grid, which Slicer's editor and files crop to the segment; and the segmentation sends its own event for what
changed, so that views are updated while surfaces of other segments stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.util import arrayFromSegmentInternalBinaryLabelmap, arrayFromVTKMatrix, vtkMatrixFromArray

from SAMMixSlicerLib.array_slices import differingSlices, sliceOf

_SAME_DIRECTION = 1e-4
_SAME_POSITION = 1e-2  # voxels


class SegmentLabelmap:
    """One segment on the grid of a volume.

    Args:
        segmentationNode: The segmentation; its source representation is a binary labelmap.
        segmentId: The segment; it must exist.
        gridToSegmentation: (4, 4), voxel indices of the volume to RAS of the segmentation node.
        shapeKji: Shape of the volume's array.
    """

    def __init__(
        self, segmentationNode: Any, segmentId: str, gridToSegmentation: np.ndarray, shapeKji: tuple[int, int, int]
    ) -> None:
        self.segmentationNode = segmentationNode
        self.segmentId = segmentId
        self._matrix = gridToSegmentation
        self._shape = shapeKji
        self._written = np.zeros(shapeKji, dtype=np.uint8)
        self.isWriting = False

    @property
    def written(self) -> np.ndarray:
        """(k, j, i) uint8: the mask as last written or accepted; do not modify it."""
        return self._written

    def readMask(self) -> np.ndarray:
        """Returns a copy of the current segment, (k, j, i) uint8, 1 inside."""
        array, label = self._array()
        return (array == label).astype(np.uint8)

    def acceptCurrentMask(self) -> np.ndarray:
        """Accepts the current segment as if we had written it, and returns it."""
        self._written = self.readMask()
        return self._written

    def writeSlices(self, sliceAxis: str, planes: Mapping[int, np.ndarray]) -> None:
        """Writes whole slices of the segment; other slices and other segments stay.

        Args:
            sliceAxis: "i", "j" or "k".
            planes: (rows, cols) uint8 by slice index; non-zero inside.
        """
        if not planes:
            return
        array, label = self._array()
        for index, plane in planes.items():
            sliceOf(array, sliceAxis, index)[...] = np.where(plane != 0, label, 0)
            sliceOf(self._written, sliceAxis, index)[...] = plane != 0
        self._notify()

    def externalChanges(self, sliceAxis: str) -> dict[int, np.ndarray]:
        """Returns the slices that were changed by someone else.

        Returns:
            (rows, cols) uint8 copies by slice index.
        """
        array, label = self._array()
        changed = differingSlices((plane == label for plane in array), self._written.view(bool), sliceAxis)
        return {index: (sliceOf(array, sliceAxis, index) == label).astype(np.uint8) for index in changed}

    def acceptSlices(self, sliceAxis: str, planes: Mapping[int, np.ndarray]) -> None:
        """Accepts slices that someone else changed as if we had written them."""
        for index, plane in planes.items():
            sliceOf(self._written, sliceAxis, index)[...] = plane

    def _notify(self) -> None:
        """Notifies views and observers, and drops the outdated surface of this segment but not those of others."""
        segmentation = self.segmentationNode.GetSegmentation()
        self.isWriting = True
        try:
            # Not Modified() of the image: the segmentation would drop the surfaces of all its segments.
            self._image().GetPointData().GetScalars().Modified()
            self._dropSurface(segmentation)
            segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, self.segmentId)
        finally:
            self.isWriting = False

    def _dropSurface(self, segmentation: Any) -> None:
        name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        segment = segmentation.GetSegment(self.segmentId)
        surface = segment.GetRepresentation(name)
        if surface is None or surface.GetNumberOfPoints() == 0:
            return
        others = [segmentation.GetSegment(other) for other in segmentation.GetSegmentIDs() if other != self.segmentId]
        if any(other.GetRepresentation(name) is not None for other in others):
            # If some segments have surfaces, a 3-D view creates missing ones at once, which takes seconds. An empty
            # surface is not missing, and shows nothing outdated.
            segment.AddRepresentation(name, vtk.vtkPolyData())
        else:
            segment.RemoveRepresentation(name)

    def _image(self) -> Any:
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        return self.segmentationNode.GetSegmentation().GetSegment(self.segmentId).GetRepresentation(name)

    def _array(self) -> tuple[np.ndarray, int]:
        """The labelmap's memory, (k, j, i) on the whole grid, and the segment's value in it."""
        segmentation = self.segmentationNode.GetSegmentation()
        self.isWriting = True
        try:
            self._ensureOwnLayer(segmentation)
            if not self._isOnGrid(self._image()):
                self._image().DeepCopy(self._onGrid(self._image()))
        finally:
            self.isWriting = False
        array = arrayFromSegmentInternalBinaryLabelmap(self.segmentationNode, self.segmentId)
        return array, segmentation.GetSegment(self.segmentId).GetLabelValue()

    def _ensureOwnLayer(self, segmentation: Any) -> None:
        image = self._image()
        if image is None:
            self._addLabelmap(segmentation)
            return
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        others = [segmentation.GetSegment(other) for other in segmentation.GetSegmentIDs() if other != self.segmentId]
        if any(other.GetRepresentation(name) is image for other in others):
            segmentation.SeparateSegmentLabelmap(self.segmentId)

    def _addLabelmap(self, segmentation: Any) -> None:
        """Adds an empty labelmap to a segment that lost its own (cleared in the Segment Editor)."""
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segmentation.GetSegment(self.segmentId).AddRepresentation(name, emptyLabelmap(self._matrix, self._shape))

    def _isOnGrid(self, image: Any) -> bool:
        if tuple(image.GetExtent()) != _extent(self._shape):
            return False
        return offsetOnGrid(image, self._matrix) == (0, 0, 0)

    def _onGrid(self, image: Any) -> Any:
        """A labelmap on our whole grid with the content of the image: copied if the voxels match, else resampled."""
        whole = emptyLabelmap(self._matrix, self._shape, image.GetScalarType())
        offset = offsetOnGrid(image, self._matrix)
        if image.IsEmpty():
            return whole
        if offset is None:
            resampled = slicer.vtkOrientedImageData()
            slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
                image, whole, resampled, False, False
            )
            image, offset = resampled, (0, 0, 0)
        source, target = scalarsOf(image), scalarsOf(whole)
        starts = [low + shift for low, shift in zip(image.GetExtent()[::2], offset, strict=True)][::-1]
        targetSlices, sourceSlices = [], []
        for start, length, size in zip(starts, source.shape, self._shape, strict=True):
            first, last = max(start, 0), min(start + length, size)
            targetSlices.append(slice(first, max(first, last)))
            sourceSlices.append(slice(first - start, max(first, last) - start))
        target[tuple(targetSlices)] = source[tuple(sourceSlices)]
        return whole


def offsetOnGrid(image: Any, matrix: np.ndarray) -> tuple[int, int, int] | None:
    """The voxel of a grid at which a labelmap's index (0, 0, 0) lies.

    Args:
        image: A vtkOrientedImageData.
        matrix: (4, 4), the grid's voxel indices to RAS of the segmentation.

    Returns:
        (i, j, k); None if the image's voxels do not match the grid's.
    """
    imageMatrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(imageMatrix)
    imageToGrid = np.linalg.inv(matrix) @ arrayFromVTKMatrix(imageMatrix)
    offset = imageToGrid[:3, 3]
    if np.abs(imageToGrid[:3, :3] - np.eye(3)).max() > _SAME_DIRECTION:
        return None
    if np.abs(offset - np.rint(offset)).max() > _SAME_POSITION:
        return None
    i, j, k = np.rint(offset).astype(int).tolist()
    return i, j, k


def emptyLabelmap(
    matrix: np.ndarray,
    shapeKji: tuple[int, int, int],
    scalarType: int = vtk.VTK_UNSIGNED_CHAR,
    startKji: tuple[int, int, int] = (0, 0, 0),
) -> Any:
    """Creates a labelmap of zeros.

    Args:
        matrix: (4, 4), its voxel indices to RAS of the segmentation.
        shapeKji: Its shape.
        scalarType: VTK's number of the voxel type.
        startKji: Its first voxel.

    Returns:
        A vtkOrientedImageData.
    """
    image = slicer.vtkOrientedImageData()
    image.SetExtent(_extent(shapeKji, startKji))
    image.SetImageToWorldMatrix(vtkMatrixFromArray(matrix))
    image.AllocateScalars(scalarType, 1)
    image.GetPointData().GetScalars().Fill(0)
    return image


def _extent(
    shapeKji: tuple[int, int, int], startKji: tuple[int, int, int] = (0, 0, 0)
) -> tuple[int, int, int, int, int, int]:
    (n_k, n_j, n_i), (k, j, i) = shapeKji, startKji
    return (i, i + n_i - 1, j, j + n_j - 1, k, k + n_k - 1)


def scalarsOf(image: Any) -> np.ndarray:
    """(k, j, i), a view of the image's memory."""
    from vtk.util.numpy_support import vtk_to_numpy

    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
