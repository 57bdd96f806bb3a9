"""Shows and hides the 3-D surface of one segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk


def hasSurface(segmentationNode: Any, segmentId: str) -> bool:
    """Whether the segment has a surface; editing its mask empties or removes it."""
    surface = segmentationNode.GetSegmentation().GetSegment(segmentId).GetRepresentation(_surfaceName())
    return surface is not None and surface.GetNumberOfPoints() > 0


def isSurfaceShown(segmentationNode: Any, segmentId: str) -> bool:
    """Whether the segment has a visible surface."""
    display = segmentationNode.GetDisplayNode()
    isVisible = display is not None and display.GetVisibility3D() and display.GetSegmentVisibility3D(segmentId)
    return bool(isVisible) and hasSurface(segmentationNode, segmentId)


def smoothingOf(segmentationNode: Any) -> float:
    """Smoothing factor of the segmentation's surfaces, from 0 to 1: a setting of Slicer's Segment Editor."""
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule
    return float(segmentationNode.GetSegmentation().GetConversionParameter(rule.GetSmoothingFactorParameterName()) or 0)


def setSurface(
    segmentationNode: Any, segmentId: str, points: np.ndarray, normals: np.ndarray, triangles: np.ndarray
) -> None:
    """Sets the segment's surface; those of other segments stay.

    Args:
        segmentationNode: The segmentation.
        segmentId: The segment.
        points: (n, 3) float32, RAS mm of the segmentation.
        normals: (n, 3) float32.
        triangles: (m, 3) int32, indices of points.
    """
    surface = vtk.vtkPolyData()
    vertices = vtk.vtkPoints()
    vertices.SetData(numpy_to_vtk(points, deep=True))
    surface.SetPoints(vertices)
    cells = vtk.vtkCellArray()
    cells.SetData(3, numpy_to_vtk(triangles.ravel(), deep=True, array_type=vtk.VTK_INT))
    surface.SetPolys(cells)
    surface.GetPointData().SetNormals(numpy_to_vtk(normals, deep=True))
    segmentation = segmentationNode.GetSegmentation()
    segmentation.GetSegment(segmentId).AddRepresentation(_surfaceName(), surface)
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segmentId)


def makeSmallSurface(segmentationNode: Any, segmentId: str) -> None:
    """Makes the surface of a small segment with Slicer's own conversion, which takes milliseconds."""
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule()
    rule.SetConversionParameter(rule.GetSmoothingFactorParameterName(), str(smoothingOf(segmentationNode)))
    segmentation = segmentationNode.GetSegmentation()
    segment = segmentation.GetSegment(segmentId)
    if segment.GetRepresentation(_surfaceName()) is None:
        segment.AddRepresentation(_surfaceName(), vtk.vtkPolyData())
    rule.Convert(segment)
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segmentId)


def showSurface(segmentationNode: Any, segmentId: str) -> None:
    """Shows the segment in 3-D; if it has no surface, Slicer makes one now, which takes a second."""
    segmentation = segmentationNode.GetSegmentation()
    if not hasSurface(segmentationNode, segmentId):
        segmentation.GetSegment(segmentId).RemoveRepresentation(_surfaceName())
        segmentation.CreateRepresentation(_surfaceName())
    display = segmentationNode.GetDisplayNode()
    display.SetVisibility3D(True)
    display.SetSegmentVisibility3D(segmentId, True)


def hideSurface(segmentationNode: Any, segmentId: str) -> None:
    """Hides the segment in 3-D."""
    segmentationNode.GetDisplayNode().SetSegmentVisibility3D(segmentId, False)


def _surfaceName() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
