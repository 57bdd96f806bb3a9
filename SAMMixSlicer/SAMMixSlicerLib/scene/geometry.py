"""Converts a volume node to the core's Volume, including the node's linear parent transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume, grid_from_ras
from sammix_core.volume_io.hounsfield import to_volume
from sammix_core.volume_io.raw_image import RawImage, check_geometry, is_placeholder_geometry, sheared

_SAMPLE_VOXELS = 200_000
_VALUES_ARE_HU = "SAMMix.ValuesAreHu"
_LARGEST_COSINE = 1e-3  # as in the core's check


def ijkToRas(volumeNode: Any) -> np.ndarray:
    """(4, 4): voxel indices (i, j, k) to the node's own RAS mm, without parent transforms."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def nodeToWorld(node: Any) -> np.ndarray:
    """(4, 4): the node's own RAS to world RAS, through all its parent transforms.

    Raises:
        InputError: A parent transform is not linear.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            _("{name} is under a non-linear transform. Harden it in the Transforms module and try again.").format(
                name=node.GetName()
            )
        )
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def ijkToWorld(volumeNode: Any) -> np.ndarray:
    """(4, 4): voxel indices (i, j, k) to world RAS mm.

    Raises:
        InputError: A parent transform is not linear.
    """
    return nodeToWorld(volumeNode) @ ijkToRas(volumeNode)


def volumeFromNode(volumeNode: Any, inWorld: bool = True) -> Volume:
    """Returns the core's Volume; its array is a view of the node's memory if that is int16.

    Args:
        volumeNode: A scalar volume with an image.
        inWorld: Whether to use world coordinates (for computing, since they say how the patient lies) or the node's
            own (as in its file).

    Raises:
        InputError: There is no image, it is not a CT in Hounsfield units, a transform is not linear, or the grid's
            in-plane axes are not perpendicular.
    """
    name = volumeNode.GetName()
    _checkIsScalarImage(volumeNode)
    matrix = ijkToWorld(volumeNode) if inWorld else ijkToRas(volumeNode)
    spacing, origin, direction = straightGrid(matrix, name)
    raw = RawImage(
        array=slicer.util.arrayFromVolume(volumeNode),
        spacing=spacing,
        origin=origin,
        direction=direction,
        spacing_known=isSpacingKnown(volumeNode),
    )
    return to_volume(raw, name, areValuesHu(volumeNode))


def checkIsCt(volumeNode: Any) -> None:
    """Checks a sample of the voxels at once, where the worker would take a while.

    Raises:
        InputError: As `volumeFromNode`.
    """
    _checkIsScalarImage(volumeNode)
    spacing, origin, direction = straightGrid(ijkToWorld(volumeNode), volumeNode.GetName())
    array = slicer.util.arrayFromVolume(volumeNode)
    step = max(1, round((array.size / _SAMPLE_VOXELS) ** (1 / 3)))
    sample = np.ascontiguousarray(array[::step, ::step, ::step])
    raw = RawImage(array=sample, spacing=spacing, origin=origin, direction=direction)
    to_volume(raw, volumeNode.GetName(), areValuesHu(volumeNode))


def areValuesHu(volumeNode: Any) -> bool:
    """Whether the user has said that the values are Hounsfield units, whatever they look like."""
    return volumeNode.GetAttribute(_VALUES_ARE_HU) == "1"


def takeValuesAsHu(volumeNode: Any) -> None:
    """Notes on the volume, and so in the scene, that the user says that the values are Hounsfield units."""
    volumeNode.SetAttribute(_VALUES_ARE_HU, "1")


def _checkIsScalarImage(volumeNode: Any) -> None:
    name = volumeNode.GetName()
    if volumeNode.GetImageData() is None or volumeNode.GetImageData().GetNumberOfPoints() == 0:
        raise InputError(_("{name} contains no image.").format(name=name))
    if volumeNode.GetImageData().GetNumberOfScalarComponents() != 1:
        raise InputError(_("{name} has several values per voxel; a CT has one.").format(name=name))


def straightGrid(
    matrix: np.ndarray, name: str
) -> tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]:
    """Spacing, origin and direction, in LPS, of an IJK to RAS matrix, straightened as `straightMatrix` does.

    Args:
        matrix: (4, 4), voxel indices to RAS mm.
        name: Name of the volume, for error messages.

    Returns:
        Spacing (i, j, k) in mm, origin in LPS mm, and (3, 3) orthonormal direction with the axes in its columns.

    Raises:
        InputError: As `straightMatrix`, or the grid is not valid for a volume.
    """
    grid = grid_from_ras(straightMatrix(matrix, name))
    check_geometry(name, *grid)
    return grid


def straightMatrix(matrix: np.ndarray, name: str) -> np.ndarray:
    """Makes the axes of an IJK to RAS matrix perpendicular.

    Slices that are stacked obliquely (gantry tilt, shear) are treated as stacked straight, at their distance along the
    normal: each slice is segmented by itself, so that areas and volumes are correct.

    Args:
        matrix: (4, 4), voxel indices to RAS mm.
        name: Name of the volume, for error messages.

    Raises:
        InputError: The matrix is singular, or the in-plane axes are not perpendicular.
    """
    spacing, _origin, direction = grid_from_ras(matrix)
    if not np.isfinite(matrix).all() or min(spacing) <= 0:
        raise InputError(_("{name} has a damaged geometry.").format(name=name))
    if np.abs(direction.T @ direction - np.eye(3)).max() <= _LARGEST_COSINE:
        return matrix
    across = "ijk".index(AxialOrder.from_direction(direction).slice_axis)
    first, second = (matrix[:3, axis] / spacing[axis] for axis in range(3) if axis != across)
    if abs(first @ second) > _LARGEST_COSINE:
        raise sheared(name)
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal)
    straight = matrix.copy()
    straight[:3, across] = normal * (normal @ matrix[:3, across])
    return straight


def straightIjkToWorld(volumeNode: Any) -> np.ndarray:
    """(4, 4): voxel indices to world RAS mm, of the straightened grid.

    Raises:
        InputError: As `ijkToWorld` and `straightMatrix`.
    """
    return straightMatrix(ijkToWorld(volumeNode), volumeNode.GetName())


def straightIjkToRas(volumeNode: Any) -> np.ndarray:
    """(4, 4): voxel indices to the node's own RAS mm, of the straightened grid, as in a file of the volume.

    Raises:
        InputError: As `straightMatrix`.
    """
    return straightMatrix(ijkToRas(volumeNode), volumeNode.GetName())


def isSpacingKnown(volumeNode: Any) -> bool:
    """Whether the node has a real geometry, and not the placeholder that software writes when it knows none."""
    return not is_placeholder_geometry(*straightGrid(ijkToRas(volumeNode), volumeNode.GetName()))
