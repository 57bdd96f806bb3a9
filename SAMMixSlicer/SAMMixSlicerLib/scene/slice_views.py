"""Which slice of a volume the slice views show, and jumping to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.util import VTKObservationMixin, arrayFromVTKMatrix, vtkMatrixFromArray

from SAMMixSlicerLib.scene.box_geometry import inPlaneAxes
from SAMMixSlicerLib.scene.geometry import ijkToWorld
from SAMMixSlicerLib.signals import Signal

_KINDS = ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode")
_PARALLEL = 1 - 1e-6


class SliceViews(VTKObservationMixin):
    """The slice views that look along a volume's slice axis, those that a layout adds later among them.

    Attributes:
        moved: Emits (sliceIndex) when they show another slice of the volume; None when they show none.
        viewsChanged: Emits when other views than before show the volume's slices.
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.moved = Signal()
        self.viewsChanged = Signal()
        self._volumeNode: Any = None
        self._sliceAxis = "k"
        self._sliceCount = 0
        self._shown: dict[str, int | None] = {}
        self._leader = ""

    def follow(self, volumeNode: Any, sliceAxis: str) -> None:
        """Follows the views on a volume (None: on none)."""
        self.removeObservers()
        self._volumeNode, self._sliceAxis, self._shown, self._leader = volumeNode, sliceAxis, {}, ""
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
        """Index of the slice in view, or None where no view shows one of the volume's slices.

        Where several views show different slices, it is the one of the view that was moved last.
        """
        return self._shown.get(self._leader, next(iter(self._shown.values()), None))

    def alignedViews(self) -> list[Any]:
        """The slice nodes that show the volume and lie in the plane of its slices."""
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

    def turnToSlices(self) -> None:
        """Turns the view that lies nearest to the volume's slices into their plane, if none lies there."""
        shown = [node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if self._showsVolume(node)]
        if self._volumeNode is None or self.alignedViews() or not shown:
            return
        normal = self._sliceNormal()
        node = max(shown, key=lambda one: abs(arrayFromVTKMatrix(one.GetSliceToRAS())[:3, 2] @ normal))
        matrix = arrayFromVTKMatrix(node.GetSliceToRAS())
        before = matrix[:3, :3].copy()
        axes = ijkToWorld(self._volumeNode)[:3, :3]
        first, second, _across = inPlaneAxes(self._sliceAxis)
        # The axes of the view take the nearest of the volume's, so that left stays left and up stays up.
        horizontal = max((axes[:, first], axes[:, second]), key=lambda axis: abs(axis @ before[:, 0]) / _length(axis))
        x = horizontal / _length(horizontal) * np.sign(horizontal @ before[:, 0])
        z = normal * np.sign(normal @ before[:, 2])
        matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = x, np.cross(z, x), z
        node.GetSliceToRAS().DeepCopy(vtkMatrixFromArray(matrix))
        node.UpdateMatrices()
        self.jumpTo(self._nearestSlice(matrix[:3, 3]))

    def jumpTo(self, sliceIndex: int) -> None:
        """Moves the views to a slice; they show the volume if none does."""
        if self._volumeNode is None:
            return
        if not any(self._showsVolume(node) for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")):
            slicer.util.setSliceViewerLayers(background=self._volumeNode, fit=True)
        if not self.alignedViews():
            self.turnToSlices()
        sizes = self._volumeNode.GetImageData().GetDimensions()
        ijk = np.array([*((size - 1) / 2 for size in sizes), 1.0])
        ijk["ijk".index(self._sliceAxis)] = sliceIndex
        place = (ijkToWorld(self._volumeNode) @ ijk)[:3]
        for node in self.alignedViews():
            node.JumpSliceByOffsetting(*place.tolist())

    def jumpToPlace(self, ijk: tuple[float, float, float]) -> None:
        """Has every view of the volume show a voxel; those that look elsewhere in their plane are centred on it."""
        if self._volumeNode is None:
            return
        self.jumpTo(round(ijk["ijk".index(self._sliceAxis)]))
        place = (ijkToWorld(self._volumeNode) @ [*ijk, 1.0])[:3]
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if self._showsVolume(node):
                node.JumpSliceByOffsetting(*place.tolist())
                if not _isInView(node, place):
                    node.JumpSliceByCentering(*place.tolist())

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
            self._leader = name
        if self.current != current:
            self.moved.emit(self.current)
        if self._shown.keys() != before.keys():
            self.viewsChanged.emit()

    def _slicesShown(self) -> dict[str, int | None]:
        """The slice that each aligned view shows, by the ID of its node; None beyond the volume's ends."""
        found: dict[str, int | None] = {}
        for node in self.alignedViews():
            index = self._nearestSlice(arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3])
            found[node.GetID()] = index if 0 <= index < self._sliceCount else None
        return found

    def _nearestSlice(self, world: np.ndarray) -> int:
        """The slice whose plane lies nearest to a place in world RAS."""
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


def _isInView(sliceNode: Any, place: np.ndarray) -> bool:
    """Whether a place in world RAS lies within the frame of a view."""
    x, y = (np.linalg.inv(arrayFromVTKMatrix(sliceNode.GetXYToRAS())) @ [*place, 1.0])[:2]
    width, height = sliceNode.GetDimensions()[:2]
    return bool(0 <= x < width and 0 <= y < height)


def _compositeOf(sliceNode: Any) -> Any:
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if node.GetLayoutName() == sliceNode.GetLayoutName():
            return node
    return None


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))
