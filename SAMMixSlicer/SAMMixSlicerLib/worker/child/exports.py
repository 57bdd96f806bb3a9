"""Writes files and makes surfaces of a mask, which would block the module's main thread for up to a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume.grid import VolumeGrid
from sammix_core.volume.volume import Volume, grid_from_ras
from sammix_core.volume_io.dicom_seg import UNKNOWN_MODEL, Algorithm, write_dicom_seg
from sammix_core.volume_io.dicom_source import DicomSource
from sammix_core.volume_io.labelmap_writing import write_labelmap
from SAMMixSlicerLib.worker.events import SurfaceMade
from SAMMixSlicerLib.worker.mask_commands import MakeSurface, WriteDicomSeg, WriteLabelmap
from SAMMixSlicerLib.worker.mask_on_grid import MaskOnGrid

_NO_VTK = "VTK is missing in the computing process."


def export_labelmap(command: WriteLabelmap) -> None:
    """Writes a labelmap file, completely or not at all.

    Raises:
        InputError: The format is unknown or the file cannot be written.
    """
    mask = command.mask
    # A labelmap file does not contain the voxels of the CT, so that one value serves for all of them.
    voxels = np.broadcast_to(np.int16(0), mask.shape_kji)
    grid = Volume(voxels, *grid_from_ras(mask.ijk_to_ras), spacing_known=command.spacing_known)
    write_labelmap(mask.unpack(), grid, command.path, command.segment)


def export_dicom_seg(command: WriteDicomSeg) -> None:
    """Writes a DICOM SEG, completely or not at all.

    Raises:
        InputError: The mask does not have the slices of the series, the series has lost its UIDs, highdicom is missing,
            or the file cannot be written.
    """
    source = DicomSource.of_files([Path(file) for file in command.files])
    grid = VolumeGrid.from_ras(command.mask.shape_kji, command.mask.ijk_to_ras)
    labels = source.in_order(command.mask.unpack() * np.uint8(command.segment.label_value), grid)
    algorithm = Algorithm(command.model or UNKNOWN_MODEL, command.by_person)
    write_dicom_seg(command.path, labels, [command.segment], source, algorithm)


def make_surface(command: MakeSurface) -> SurfaceMade:
    """Makes the surface of a mask, smoothed as in Slicer's own conversion (vtkSegmentationCore).

    Raises:
        InputError: VTK is missing, or the mask is empty.
    """
    try:
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonDataModel import vtkPolyData
        from vtkmodules.vtkCommonMath import vtkMatrix4x4
        from vtkmodules.vtkCommonTransforms import vtkTransform
        from vtkmodules.vtkFiltersCore import vtkPolyDataNormals, vtkWindowedSincPolyDataFilter
        from vtkmodules.vtkFiltersGeneral import vtkDiscreteFlyingEdges3D, vtkTransformPolyDataFilter
    except ImportError as error:
        raise InputError(_NO_VTK) from error
    edges = vtkDiscreteFlyingEdges3D()
    edges.SetInputData(_padded(command.mask))
    edges.GenerateValues(1, 1, 1)
    edges.ComputeGradientsOff()
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    port = edges.GetOutputPort()
    if command.smoothing > 0:
        smoother = vtkWindowedSincPolyDataFilter()
        smoother.SetInputConnection(port)
        smoother.SetNumberOfIterations(20 + int(40 * command.smoothing))
        smoother.SetPassBand(10.0 ** (-4.0 * command.smoothing))
        smoother.BoundarySmoothingOff()
        smoother.FeatureEdgeSmoothingOff()
        smoother.NonManifoldSmoothingOn()
        smoother.NormalizeCoordinatesOn()
        port = smoother.GetOutputPort()
    matrix = vtkMatrix4x4()
    matrix.DeepCopy(command.mask.ijk_to_ras.ravel().tolist())
    transform = vtkTransform()
    transform.SetMatrix(matrix)
    to_ras = vtkTransformPolyDataFilter()
    to_ras.SetTransform(transform)
    to_ras.SetInputConnection(port)
    normals = vtkPolyDataNormals()
    normals.SetInputConnection(to_ras.GetOutputPort())
    normals.ConsistencyOn()
    normals.SplittingOff()
    normals.AutoOrientNormalsOff()
    normals.SetFlipNormals(bool(np.linalg.det(command.mask.ijk_to_ras[:3, :3]) < 0))
    normals.Update()
    surface: vtkPolyData = normals.GetOutput()
    triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return SurfaceMade(
        command.request,
        vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float32),
        vtk_to_numpy(surface.GetPointData().GetNormals()).astype(np.float32),
        triangles.astype(np.int32),
    )


def _padded(mask: MaskOnGrid):  # type: ignore[no-untyped-def]  # vtkImageData, and VTK may be missing
    """The mask cropped to its voxels with a margin of one, so that the surface is closed."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    array = mask.unpack()
    occupied = [np.flatnonzero(array.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not len(occupied[0]):
        raise InputError("The mask is empty.")
    first = [int(indices[0]) for indices in occupied]
    part = array[tuple(slice(indices[0], indices[-1] + 1) for indices in occupied)]
    part = np.pad(part, 1)
    image = vtkImageData()
    i, j, k = (first[axis] - 1 for axis in (2, 1, 0))
    n_k, n_j, n_i = part.shape
    image.SetExtent(i, i + n_i - 1, j, j + n_j - 1, k, k + n_k - 1)
    image.GetPointData().SetScalars(numpy_to_vtk(part.ravel(), deep=True))
    return image
