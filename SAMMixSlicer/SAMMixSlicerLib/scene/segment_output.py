"""Creates the output segment of a case, in a new segmentation or in the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.volume_io.segments import Segment, segment_of
from SAMMixSlicerLib.scene.geometry import ijkToRas, nodeToWorld
from SAMMixSlicerLib.scene.labelmap import SegmentLabelmap, emptyLabelmap

_FILL_OPACITY = 0.35


def segmentOf(target: str) -> Segment:
    """Name, colour and terminology of a model's target."""
    return segment_of(target)


def newSegmentation(volumeNode: Any, target: str) -> Any:
    """Creates a segmentation node for a volume, in the same subject-hierarchy study and under the same transform."""
    name = f"{volumeNode.GetName()} {segmentOf(target).name}"
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volumeItem = hierarchy.GetItemByDataNode(volumeNode) if hierarchy else 0
    segmentationItem = hierarchy.GetItemByDataNode(node) if hierarchy else 0
    if volumeItem and segmentationItem:
        hierarchy.SetItemParent(segmentationItem, hierarchy.GetItemParent(volumeItem))
    return node


def outputSegment(segmentationNode: Any, volumeNode: Any, target: str, segmentId: str = "") -> str:
    """Returns the ID of the output segment: the previous one if it still exists, else a new and empty one.

    Args:
        segmentationNode: New or the user's own; its other segments stay as they are.
        volumeNode: The CT; it becomes the segmentation's reference geometry.
        target: The structure that is segmented, "liver".
        segmentId: The previous output segment, or "".

    Raises:
        InputError: The segmentation contains surfaces, or a transform is not linear.
    """
    segmentation = segmentationNode.GetSegmentation()
    labelmapName = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if segmentation.GetNumberOfSegments() and segmentation.GetSourceRepresentationName() != labelmapName:
        raise InputError(
            _("{name} contains surfaces. Select a segmentation of labelmaps, or a new one.").format(
                name=segmentationNode.GetName()
            )
        )
    gridToSegmentation(volumeNode, segmentationNode)
    if segmentationNode.GetDisplayNode() is None:
        segmentationNode.CreateDefaultDisplayNodes()
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    if segmentId and segmentation.GetSegment(segmentId) is not None:
        return segmentId
    return _addSegment(segmentationNode, volumeNode, target)


def openLabelmap(segmentationNode: Any, segmentId: str, volumeNode: Any) -> SegmentLabelmap:
    """Returns the segment's labelmap on the volume's grid.

    Raises:
        InputError: A transform is not linear.
    """
    n_i, n_j, n_k = volumeNode.GetImageData().GetDimensions()
    matrix = gridToSegmentation(volumeNode, segmentationNode)
    return SegmentLabelmap(segmentationNode, segmentId, matrix, (n_k, n_j, n_i))


def gridToSegmentation(volumeNode: Any, segmentationNode: Any) -> np.ndarray:
    """(4, 4): voxel indices of the volume to RAS of the segmentation node, each under its own transform.

    Raises:
        InputError: A transform is not linear.
    """
    if volumeNode.GetTransformNodeID() == segmentationNode.GetTransformNodeID():
        return ijkToRas(volumeNode)  # exact: the common transform cancels out
    return np.linalg.inv(nodeToWorld(segmentationNode)) @ nodeToWorld(volumeNode) @ ijkToRas(volumeNode)


def _addSegment(segmentationNode: Any, volumeNode: Any, target: str) -> str:
    properties = segmentOf(target)
    segmentation = segmentationNode.GetSegmentation()
    segment = slicer.vtkSegment()
    segment.SetName(properties.name)
    segment.SetColor(*properties.color)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), properties.terminology_entry)
    n_i, n_j, n_k = volumeNode.GetImageData().GetDimensions()
    # With its own labelmap from the start, so that the segment shares no layer.
    segment.AddRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(),
        emptyLabelmap(gridToSegmentation(volumeNode, segmentationNode), (n_k, n_j, n_i)),
    )
    segmentId = segmentation.GenerateUniqueSegmentID(properties.name)
    segmentation.AddSegment(segment, segmentId)
    # The outline stands out, and the anatomy shows through the fill.
    segmentationNode.GetDisplayNode().SetSegmentOpacity2DFill(segmentId, _FILL_OPACITY)
    return segmentId
