"""Shows the class activation map as a foreground volume in the slice views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.util import vtkMatrixFromArray

from SAMMixSlicerLib.array_slices import sliceOf
from SAMMixSlicerLib.scene.geometry import ijkToRas

_MARK = "SAMMix.ActivationMap"
_MAX = 255
_THRESHOLD = 26  # a tenth: lower values would tint the whole slice


def overlayNodes() -> list[Any]:
    """All activation maps in the scene, which the CT selector must not list."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetAttribute(_MARK)]


def newOverlay(volumeNode: Any) -> Any:
    """Creates an empty map on the grid and under the transform of a volume; 0 to 255 is a probability from 0 to 1."""
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
    display.SetWindowLevelMinMax(0, _MAX)
    display.AutoThresholdOff()
    display.SetThreshold(_THRESHOLD, _MAX)
    display.ApplyThresholdOn()
    # After window and threshold are set: automatic ones would read every voxel first.
    node.SetAndObserveImageData(image)
    return node


def setMaps(overlayNode: Any, sliceAxis: str, planes: Mapping[int, np.ndarray]) -> None:
    """Writes slices of the map.

    Args:
        overlayNode: From `newOverlay`.
        sliceAxis: "i", "j" or "k".
        planes: (rows, cols) uint8 by slice index.
    """
    array = slicer.util.arrayFromVolume(overlayNode)
    for index, plane in planes.items():
        sliceOf(array, sliceAxis, index)[...] = plane
    slicer.util.arrayFromVolumeModified(overlayNode)


def showOverlay(overlayNode: Any, volumeNode: Any, opacity: float) -> None:
    """Shows the map over the volume in its slice views, and remembers the previous foreground."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if composite.GetBackgroundVolumeID() != volumeNode.GetID():
            continue
        previousId = composite.GetForegroundVolumeID()
        if previousId != overlayNode.GetID():
            overlayNode.SetAttribute(
                _foregroundAttribute(composite), f"{previousId or ''} {composite.GetForegroundOpacity()}"
            )
        with slicer.util.NodeModify(composite):
            composite.SetForegroundVolumeID(overlayNode.GetID())
            composite.SetForegroundOpacity(opacity)


def hideOverlay(overlayNode: Any) -> None:
    """Removes the map from the views, and restores the previous foreground."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if overlayNode is None or composite.GetForegroundVolumeID() != overlayNode.GetID():
            continue
        previousId, _space, opacity = (overlayNode.GetAttribute(_foregroundAttribute(composite)) or "").rpartition(" ")
        with slicer.util.NodeModify(composite):
            composite.SetForegroundVolumeID(
                previousId if previousId and slicer.mrmlScene.GetNodeByID(previousId) else None
            )
            if opacity:
                composite.SetForegroundOpacity(float(opacity))


def _foregroundAttribute(compositeNode: Any) -> str:
    return f"SAMMix.Foreground.{compositeNode.GetLayoutName()}"
