"""The 3-D surface of one segment, made when asked for."""

from __future__ import annotations

from typing import Any

import slicer


def hasSurface(segmentationNode: Any, segmentId: str) -> bool:
    """Whether the segment has a surface; an edit of its mask empties it or takes it away."""
    surface = segmentationNode.GetSegmentation().GetSegment(segmentId).GetRepresentation(_name())
    return surface is not None and surface.GetNumberOfPoints() > 0


def showSurface(segmentationNode: Any, segmentId: str) -> None:
    """Makes the segment's surface of its mask as it is now, and shows it in 3-D; surfaces of others stay."""
    segmentation = segmentationNode.GetSegmentation()
    if not hasSurface(segmentationNode, segmentId):
        segmentation.GetSegment(segmentId).RemoveRepresentation(_name())
        segmentation.CreateRepresentation(_name())
    display = segmentationNode.GetDisplayNode()
    display.SetVisibility3D(True)
    display.SetSegmentVisibility3D(segmentId, True)


def hideSurface(segmentationNode: Any, segmentId: str) -> None:
    """Hides the segment in 3-D."""
    segmentationNode.GetDisplayNode().SetSegmentVisibility3D(segmentId, False)


def _name() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
