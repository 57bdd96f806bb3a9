"""What leaves the module: labelmap nodes, files, boxes and a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from sammix_core.boxes import BoxTrack
from sammix_core.errors import InputError
from sammix_core.volume_io.labelmaps import write_labelmap
from SAMMixSlicerLib.scene.geometry import volumeFromNode
from SAMMixSlicerLib.scene.labelmap import SegmentLabelmap
from SAMMixSlicerLib.scene.segment_output import segmentOf
from SAMMixSlicerLib.statistics import MaskStatistics


def labelmapNode(volumeNode: Any, segmentationNode: Any, segmentId: str) -> Any:
    """A new labelmap volume node of one segment, on the grid and under the transform of the volume.

    Raises:
        InputError: Slicer could not make it.
    """
    name = f"{volumeNode.GetName()} {segmentationNode.GetSegmentation().GetSegment(segmentId).GetName()}"
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLLabelMapVolumeNode", slicer.mrmlScene.GenerateUniqueName(_("{name} label").format(name=name))
    )
    ids = vtk.vtkStringArray()
    ids.InsertNextValue(segmentId)
    logic = slicer.modules.segmentations.logic()
    if not logic.ExportSegmentsToLabelmapNode(segmentationNode, ids, node, volumeNode):
        slicer.mrmlScene.RemoveNode(node)
        raise InputError(_("Slicer could not make a labelmap of the segment."))
    return node


def writeLabelmapFile(labelmap: SegmentLabelmap, volumeNode: Any, target: str, path: str) -> Path:
    """Writes the segment as it is now on the volume's own grid, as the command line would.

    Args:
        labelmap: The segment.
        volumeNode: The CT. Transforms above it do not go into the file: it is on the grid of the CT's file.
        target: What it is, "liver".
        path: Its ending chooses the format: .nii.gz, .nii, .nrrd, .mha or .seg.nrrd.

    Raises:
        InputError: The format is unknown or the file cannot be written.
    """
    write_labelmap(labelmap.readMask(), volumeFromNode(volumeNode, inWorld=False), path, segmentOf(target))
    return Path(path)


def writeBoxes(boxes: BoxTrack, path: str) -> Path:
    """Writes the boxes as `sammix-boxes/1`.

    Raises:
        InputError: The file cannot be written.
    """
    boxes.write(path)
    return Path(path)


def statisticsRow(name: str, found: MaskStatistics) -> list[tuple[str, str]]:
    """Titles and values for people, in the order in which they are shown."""
    unknown = "–"

    def text(value: float | None, digits: int) -> str:
        return unknown if value is None else f"{value:.{digits}f}"

    extent = found.extentMm or (None, None, None)
    return [
        (_("Segment"), name),
        (_("Volume (mL)"), text(found.volumeMl, 1)),
        (_("Mean (HU)"), text(found.meanHu, 1)),
        (_("SD (HU)"), text(found.sdHu, 1)),
        (_("Extent R-L (mm)"), text(extent[0], 1)),
        (_("Extent A-P (mm)"), text(extent[1], 1)),
        (_("Extent I-S (mm)"), text(extent[2], 1)),
        (_("Slices"), str(found.slices)),
    ]


def statisticsTable(name: str, rows: list[tuple[str, str]], tableNode: Any = None) -> Any:
    """Puts the titles and values into a table node of one row.

    Args:
        name: Of a new node.
        rows: From `statisticsRow`.
        tableNode: The node to fill again, or None for a new one.
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
