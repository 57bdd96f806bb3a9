"""Tracks which slice of a volume the slice views show, and jumps to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.util import VTKObservationMixin, arrayFromVTKMatrix, vtkMatrixFromArray

from SAMMixSlicerLib.scene.box_geometry import Edges, inPlaneAxes
from SAMMixSlicerLib.scene.geometry import ijkToWorld
from SAMMixSlicerLib.signals import Signal

_KINDS = ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode")
_PARALLEL = 1 - 1e-6


class SliceViews(VTKObservationMixin):
    """The slice views that look along a volume's slice axis, including views that a layout adds later.

    Attributes:
        moved: Emits (sliceIndex) when they show another slice of the volume; None when they show none.
        viewsChanged: Emits when the set of views that show the volume's slices changes.
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.moved = Signal()
        self.viewsChanged = Signal()
        self._volumeNode: Any = None
        self._sliceAxis = "k"
        self._sliceCount = 0
        self._shown: dict[str, int | None] = {}
        self._lastMovedView = ""

    def follow(self, volumeNode: Any, sliceAxis: str) -> None:
        """Starts to track the views of a volume; None stops tracking."""
        self.removeObservers()
        self._volumeNode, self._sliceAxis, self._shown, self._lastMovedView = volumeNode, sliceAxis, {}, ""
        if volumeNode is None:
            return
        self._sliceCount = volumeNode.GetImageData().GetDimensions()["ijk".index(sliceAxis)]
        for kind in _KINDS:
            for node in slicer.util.getNodesByClass(kind):
                self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onModified)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self._onNodeAdded)
        self._shown = self._slicesShown()

    @property
    def current(self) -> int | None:
        """Index of the slice in view, or None if no view shows a slice of the volume.

        If several views show different slices, the view that was moved last counts.
        """
        return self._shown.get(self._lastMovedView, next(iter(self._shown.values()), None))

    def alignedViews(self) -> list[Any]:
        """The slice nodes that show the volume in the plane of its slices."""
        if self._volumeNode is None:
            return []
        normal = self._sliceNormal()
        views = []
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            composite = _compositeOf(node)
            if composite is None or composite.GetBackgroundVolumeID() != self._volumeNode.GetID():
                continue
            if abs(arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 2] @ normal) > _PARALLEL:
                views.append(node)
        return views

    def voxelsInView(self) -> Edges | None:
        """The voxels that the view of the slice shows, in the volume's two in-plane axes; None if no view shows any."""
        views = {node.GetID(): node for node in self.alignedViews()}
        node = views.get(self._lastMovedView, next(iter(views.values()), None))
        if node is None:
            return None
        width, height = node.GetDimensions()[:2]
        corners = np.array([[x, y, 0, 1] for x in (0, width) for y in (0, height)]).T
        ijk = np.linalg.inv(ijkToWorld(self._volumeNode)) @ arrayFromVTKMatrix(node.GetXYToRAS()) @ corners
        sizes = self._volumeNode.GetImageData().GetDimensions()
        ranges = []
        for axis in inPlaneAxes(self._sliceAxis)[:2]:
            low, high = max(0, int(np.floor(ijk[axis].min() + 0.5))), min(sizes[axis], int(ijk[axis].max() + 0.5))
            if low >= high:
                return None
            ranges.append((low, high))
        return ranges[0][0], ranges[1][0], ranges[0][1], ranges[1][1]

    def alignView(self) -> None:
        """Rotates the view nearest to the volume's slice plane into it, if no view is aligned."""
        shown = [node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if self._showsVolume(node)]
        if self._volumeNode is None or self.alignedViews() or not shown:
            return
        normal = self._sliceNormal()
        node = max(shown, key=lambda view: abs(arrayFromVTKMatrix(view.GetSliceToRAS())[:3, 2] @ normal))
        matrix = arrayFromVTKMatrix(node.GetSliceToRAS())
        before = matrix[:3, :3].copy()
        axes = ijkToWorld(self._volumeNode)[:3, :3]
        first, second, _across = inPlaneAxes(self._sliceAxis)
        # Each axis of the view becomes the nearest axis of the volume, so that left stays left and up stays up.
        horizontal = max((axes[:, first], axes[:, second]), key=lambda axis: abs(axis @ before[:, 0]) / _length(axis))
        x = horizontal / _length(horizontal) * np.sign(horizontal @ before[:, 0])
        z = normal * np.sign(normal @ before[:, 2])
        matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = x, np.cross(z, x), z
        node.GetSliceToRAS().DeepCopy(vtkMatrixFromArray(matrix))
        node.UpdateMatrices()
        self.jumpTo(self._nearestSlice(matrix[:3, 3]))

    def jumpTo(self, sliceIndex: int) -> None:
        """Moves the views to a slice; shows the volume in them if none does."""
        if self._volumeNode is None:
            return
        if not any(self._showsVolume(node) for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")):
            slicer.util.setSliceViewerLayers(background=self._volumeNode, fit=True)
        if not self.alignedViews():
            self.alignView()
        sizes = self._volumeNode.GetImageData().GetDimensions()
        ijk = np.array([*((size - 1) / 2 for size in sizes), 1.0])
        ijk["ijk".index(self._sliceAxis)] = sliceIndex
        position = (ijkToWorld(self._volumeNode) @ ijk)[:3]
        for node in self.alignedViews():
            node.JumpSliceByOffsetting(*position.tolist())

    def jumpToVoxel(self, ijk: tuple[float, float, float]) -> None:
        """Moves every view of the volume to a voxel; views in which it is outside the frame are centred on it."""
        if self._volumeNode is None:
            return
        self.jumpTo(round(ijk["ijk".index(self._sliceAxis)]))
        position = (ijkToWorld(self._volumeNode) @ [*ijk, 1.0])[:3]
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if self._showsVolume(node):
                node.JumpSliceByOffsetting(*position.tolist())
                if not _isInView(node, position):
                    node.JumpSliceByCentering(*position.tolist())

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _scene: Any, _event: Any, node: Any) -> None:
        if node.GetClassName() in _KINDS and not self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._onModified):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onModified)
            self._onModified(node)

    def _onModified(self, caller: Any, *_event: Any) -> None:
        before, current = self._shown, self.current
        self._shown = self._slicesShown()
        name = caller.GetID()
        if name in before and self._shown.get(name, before[name]) != before[name]:
            self._lastMovedView = name
        if self.current != current:
            self.moved.emit(self.current)
        if self._shown.keys() != before.keys():
            self.viewsChanged.emit()

    def _slicesShown(self) -> dict[str, int | None]:
        """The slice that each aligned view shows, by node ID; None beyond the volume's ends."""
        shown: dict[str, int | None] = {}
        for node in self.alignedViews():
            index = self._nearestSlice(arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3])
            shown[node.GetID()] = index if 0 <= index < self._sliceCount else None
        return shown

    def _nearestSlice(self, world: np.ndarray) -> int:
        """The slice nearest to a position in world RAS."""
        matrix = ijkToWorld(self._volumeNode)
        across = "ijk".index(self._sliceAxis)
        normal = self._sliceNormal()
        return int(np.floor((world - matrix[:3, 3]) @ normal / (matrix[:3, across] @ normal) + 0.5))

    def _sliceNormal(self) -> np.ndarray:
        axes = ijkToWorld(self._volumeNode)[:3, :3]
        first, second, _across = inPlaneAxes(self._sliceAxis)
        normal = np.cross(axes[:, first], axes[:, second])
        return normal / _length(normal)

    def _showsVolume(self, sliceNode: Any) -> bool:
        composite = _compositeOf(sliceNode)
        return composite is not None and composite.GetBackgroundVolumeID() == self._volumeNode.GetID()


def _isInView(sliceNode: Any, position: np.ndarray) -> bool:
    """Whether a position in world RAS lies within the frame of a view."""
    x, y = (np.linalg.inv(arrayFromVTKMatrix(sliceNode.GetXYToRAS())) @ [*position, 1.0])[:2]
    width, height = sliceNode.GetDimensions()[:2]
    return bool(0 <= x < width and 0 <= y < height)


def _compositeOf(sliceNode: Any) -> Any:
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if node.GetLayoutName() == sliceNode.GetLayoutName():
            return node
    return None


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))
