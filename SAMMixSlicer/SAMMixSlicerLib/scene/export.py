"""Exports labelmap nodes, boxes and a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import vtkMatrixFromArray

from sammix_core.boxes import BoxTrack
from SAMMixSlicerLib.array_slices import sliceOf
from SAMMixSlicerLib.mask_statistics import MaskStatistics
from SAMMixSlicerLib.worker import MaskOnGrid


def labelmapNode(volumeNode: Any, segmentationNode: Any, segmentId: str, mask: MaskOnGrid) -> Any:
    """Creates a labelmap volume node of one segment, on the grid and under the transform of the volume.

    Slicer's own `ExportSegmentsToLabelmapNode` takes 0.2 s for a CT of 200 slices; this creates the same node faster.

    Args:
        volumeNode: The CT.
        segmentationNode: Source of name and colour.
        segmentId: The segment.
        mask: Mask of the segment.
    """
    name = f"{volumeNode.GetName()} {segmentationNode.GetSegmentation().GetSegment(segmentId).GetName()}"
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLLabelMapVolumeNode", slicer.mrmlScene.GenerateUniqueName(_("{name} label").format(name=name))
    )
    image = vtk.vtkImageData()
    image.SetDimensions(volumeNode.GetImageData().GetDimensions())
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(0)
    node.SetAndObserveImageData(image)
    array = slicer.util.arrayFromVolume(node)
    for index, plane in mask.planes.items():
        sliceOf(array, mask.slice_axis, index)[...] = plane.unpack()
    node.SetIJKToRASMatrix(vtkMatrixFromArray(mask.ijk_to_ras))
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    colors = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", f"{node.GetName()} colors")
    colors.SetTypeToUser()
    slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToColorTableNode(segmentationNode, [segmentId], colors)
    node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    return node


def writeBoxes(boxes: BoxTrack, path: str) -> Path:
    """Writes the boxes as `sammix-boxes/2`.

    Raises:
        InputError: The file cannot be written.
    """
    boxes.write(path)
    return Path(path)


def statisticsRow(name: str, statistics: MaskStatistics) -> list[tuple[str, str]]:
    """Formatted labels and values, in display order."""
    unknown = "–"

    def text(value: float | None, digits: int) -> str:
        return unknown if value is None else f"{value:.{digits}f}"

    extent = statistics.extentMm or (None, None, None)
    return [
        (_("Segment"), name),
        (_("Volume (mL)"), text(statistics.volumeMl, 1)),
        (_("Mean (HU)"), text(statistics.meanHu, 1)),
        (_("SD (HU)"), text(statistics.sdHu, 1)),
        (_("Extent R-L (mm)"), text(extent[0], 1)),
        (_("Extent A-P (mm)"), text(extent[1], 1)),
        (_("Extent I-S (mm)"), text(extent[2], 1)),
        (_("Slices"), str(statistics.slices)),
    ]


def statisticsTable(name: str, rows: list[tuple[str, str]], tableNode: Any = None) -> Any:
    """Writes labels and values into a table node with one row.

    Args:
        name: Name of a new node.
        rows: From `statisticsRow`.
        tableNode: The node to overwrite, or None for a new one.
    """
    if tableNode is None:
        tableNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
    tableNode.RemoveAllColumns()
    for title, value in rows:
        column = vtk.vtkStringArray()
        column.SetName(title)
        column.InsertNextValue(value)
        tableNode.AddColumn(column)
    tableNode.SetUseColumnTitleAsColumnHeader(True)
    return tableNode
