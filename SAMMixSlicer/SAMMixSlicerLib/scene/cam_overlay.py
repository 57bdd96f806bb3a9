"""The class activation map as a volume in the foreground of the slice views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.util import vtkMatrixFromArray

from SAMMixSlicerLib.planes import planeOf
from SAMMixSlicerLib.scene.geometry import ijkToRas

_FULL = 255
_MARK = "SAMMix.ActivationMap"
_SHOWN_FROM = 26  # a tenth: below, the map would tint the whole slice


def overlayNodes() -> list[Any]:
    """All maps of the scene; none of them is a CT to choose."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetAttribute(_MARK)]


def newOverlay(volumeNode: Any) -> Any:
    """An empty map on the grid and under the transform of a volume, 0 to 255 for a probability from 0 to 1."""
    image = vtk.vtkImageData()
    image.SetDimensions(volumeNode.GetImageData().GetDimensions())
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(0)
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(f"{volumeNode.GetName()} activation map")
    )
    node.SetAttribute(_MARK, "1")
    node.SetIJKToRASMatrix(vtkMatrixFromArray(ijkToRas(volumeNode)))
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(slicer.vtkMRMLColorLogic.GetColorTableNodeID(slicer.vtkMRMLColorTableNode.Iron))
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, _FULL)
    display.AutoThresholdOff()
    display.SetThreshold(_SHOWN_FROM, _FULL)
    display.ApplyThresholdOn()
    # After the window and the threshold are set: an automatic one would look at every voxel first.
    node.SetAndObserveImageData(image)
    return node


def setMaps(overlayNode: Any, sliceAxis: str, planes: Mapping[int, np.ndarray]) -> None:
    """Writes slices of the map.

    Args:
        overlayNode: What `newOverlay` made.
        sliceAxis: "i", "j" or "k".
        planes: (rows, cols) uint8 by slice index.
    """
    array = slicer.util.arrayFromVolume(overlayNode)
    for index, plane in planes.items():
        planeOf(array, sliceAxis, index)[...] = plane
    slicer.util.arrayFromVolumeModified(overlayNode)


def showOverlay(overlayNode: Any, volumeNode: Any, opacity: float) -> None:
    """Puts the map over the volume in every slice view that shows it; what was in the foreground is remembered."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if composite.GetBackgroundVolumeID() != volumeNode.GetID():
            continue
        before = composite.GetForegroundVolumeID()
        if before != overlayNode.GetID():
            overlayNode.SetAttribute(_remembered(composite), f"{before or ''} {composite.GetForegroundOpacity()}")
        with slicer.util.NodeModify(composite):
            composite.SetForegroundVolumeID(overlayNode.GetID())
            composite.SetForegroundOpacity(opacity)


def hideOverlay(overlayNode: Any) -> None:
    """Takes the map out of the views; the foreground that was there before comes back."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if overlayNode is None or composite.GetForegroundVolumeID() != overlayNode.GetID():
            continue
        before, _space, opacity = (overlayNode.GetAttribute(_remembered(composite)) or "").rpartition(" ")
        with slicer.util.NodeModify(composite):
            composite.SetForegroundVolumeID(before if before and slicer.mrmlScene.GetNodeByID(before) else None)
            if opacity:
                composite.SetForegroundOpacity(float(opacity))


def _remembered(compositeNode: Any) -> str:
    return f"SAMMix.Foreground.{compositeNode.GetLayoutName()}"
