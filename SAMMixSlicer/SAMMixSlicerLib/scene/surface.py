"""The 3-D surface of one segment, made when asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk


def hasSurface(segmentationNode: Any, segmentId: str) -> bool:
    """Whether the segment has a surface; an edit of its mask empties it or takes it away."""
    surface = segmentationNode.GetSegmentation().GetSegment(segmentId).GetRepresentation(_name())
    return surface is not None and surface.GetNumberOfPoints() > 0


def isSurfaceShown(segmentationNode: Any, segmentId: str) -> bool:
    """Whether the segment has a surface that can be seen."""
    display = segmentationNode.GetDisplayNode()
    seen = display is not None and display.GetVisibility3D() and display.GetSegmentVisibility3D(segmentId)
    return bool(seen) and hasSurface(segmentationNode, segmentId)


def smoothingOf(segmentationNode: Any) -> float:
    """How smooth the user wants surfaces of this segmentation, from 0 to 1: a setting of Slicer's Segment Editor."""
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule
    return float(segmentationNode.GetSegmentation().GetConversionParameter(rule.GetSmoothingFactorParameterName()) or 0)


def setSurface(
    segmentationNode: Any, segmentId: str, points: np.ndarray, normals: np.ndarray, triangles: np.ndarray
) -> None:
    """Gives the segment a surface; those of other segments stay.

    Args:
        segmentationNode: The segmentation.
        segmentId: The segment.
        points: (n, 3) float32, RAS mm of the segmentation.
        normals: (n, 3) float32.
        triangles: (m, 3) int32, numbers of points.
    """
    surface = vtk.vtkPolyData()
    places = vtk.vtkPoints()
    places.SetData(numpy_to_vtk(points, deep=True))
    surface.SetPoints(places)
    cells = vtk.vtkCellArray()
    cells.SetData(3, numpy_to_vtk(triangles.ravel(), deep=True, array_type=vtk.VTK_INT))
    surface.SetPolys(cells)
    surface.GetPointData().SetNormals(numpy_to_vtk(normals, deep=True))
    segmentation = segmentationNode.GetSegmentation()
    segmentation.GetSegment(segmentId).AddRepresentation(_name(), surface)
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segmentId)


def makeSmallSurface(segmentationNode: Any, segmentId: str) -> None:
    """Gives a segment of few voxels the surface that Slicer itself makes of it: here that takes milliseconds."""
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule()
    rule.SetConversionParameter(rule.GetSmoothingFactorParameterName(), str(smoothingOf(segmentationNode)))
    segmentation = segmentationNode.GetSegmentation()
    segment = segmentation.GetSegment(segmentId)
    if segment.GetRepresentation(_name()) is None:
        segment.AddRepresentation(_name(), vtk.vtkPolyData())
    rule.Convert(segment)
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segmentId)


def showSurface(segmentationNode: Any, segmentId: str) -> None:
    """Shows the segment in 3-D; where it has no surface, Slicer makes one now, which takes a second."""
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
