"""From a volume node to the core's Volume, with the linear transforms above the node in its geometry."""

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
_LARGEST_COSINE = 1e-3  # as the core's check of right angles


def ijkToRas(volumeNode: Any) -> np.ndarray:
    """(4, 4): voxel indices (i, j, k) to the node's own RAS mm, below any parent transform."""
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
            _("{name} is under a transform that is not linear; harden it (Transforms module) and try again.").format(
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
    """The volume as the core takes it; its array is the node's own memory wherever that is int16.

    Args:
        volumeNode: A scalar volume with an image.
        inWorld: Whether its geometry is that of the world (what to compute with, since it says how the patient lies),
            or the node's own (what its file says).

    Raises:
        InputError: There is no image, it is no CT in Hounsfield units, a transform is not linear, or the grid's
            in-plane axes are not at right angles.
    """
    name = volumeNode.GetName()
    _checkHoldsOneImage(volumeNode)
    matrix = ijkToWorld(volumeNode) if inWorld else ijkToRas(volumeNode)
    spacing, origin, direction = straightGrid(matrix, name)
    raw = RawImage(
        array=slicer.util.arrayFromVolume(volumeNode),
        spacing=spacing,
        origin=origin,
        direction=direction,
        spacing_known=isSpacingKnown(volumeNode),
    )
    return to_volume(raw, name)


def checkIsCt(volumeNode: Any) -> None:
    """Refuses what cannot be segmented, from a sample of its voxels: at once, where the worker takes a while.

    Raises:
        InputError: As `volumeFromNode`.
    """
    _checkHoldsOneImage(volumeNode)
    spacing, origin, direction = straightGrid(ijkToWorld(volumeNode), volumeNode.GetName())
    array = slicer.util.arrayFromVolume(volumeNode)
    step = max(1, round((array.size / _SAMPLE_VOXELS) ** (1 / 3)))
    sample = np.ascontiguousarray(array[::step, ::step, ::step])
    to_volume(RawImage(array=sample, spacing=spacing, origin=origin, direction=direction), volumeNode.GetName())


def _checkHoldsOneImage(volumeNode: Any) -> None:
    name = volumeNode.GetName()
    if volumeNode.GetImageData() is None or volumeNode.GetImageData().GetNumberOfPoints() == 0:
        raise InputError(_("{name} holds no image.").format(name=name))
    if volumeNode.GetImageData().GetNumberOfScalarComponents() != 1:
        raise InputError(_("{name} holds several values a voxel; a CT has one.").format(name=name))


def straightGrid(
    matrix: np.ndarray, name: str
) -> tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]:
    """Spacing, origin and direction, in LPS, of an IJK to RAS matrix, straightened as `straightMatrix` does.

    Args:
        matrix: (4, 4), voxel indices to RAS mm.
        name: Of the volume, for the sentences.

    Returns:
        Spacing (i, j, k) in mm, origin in LPS mm, and (3, 3) orthonormal direction with the axes in its columns.

    Raises:
        InputError: As `straightMatrix`, or the grid cannot be one of a volume.
    """
    grid = grid_from_ras(straightMatrix(matrix, name))
    check_geometry(name, *grid)
    return grid


def straightMatrix(matrix: np.ndarray, name: str) -> np.ndarray:
    """An IJK to RAS matrix with its axes at right angles.

    Slices that are stacked at a slant (gantry tilt, shear) are taken as if stacked straight, at their distance along
    their normal: each slice is segmented for itself, and so areas and volumes are right.

    Args:
        matrix: (4, 4), voxel indices to RAS mm.
        name: Of the volume, for the sentences.

    Raises:
        InputError: The matrix is singular, or the axes in the plane of the slices are not at right angles.
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
    """(4, 4): voxel indices to world RAS mm, of the straight grid.

    Raises:
        InputError: As `ijkToWorld` and `straightMatrix`.
    """
    return straightMatrix(ijkToWorld(volumeNode), volumeNode.GetName())


def straightIjkToRas(volumeNode: Any) -> np.ndarray:
    """(4, 4): voxel indices to the node's own RAS mm, of the straight grid: what a file of the volume says.

    Raises:
        InputError: As `straightMatrix`.
    """
    return straightMatrix(ijkToRas(volumeNode), volumeNode.GetName())


def isSpacingKnown(volumeNode: Any) -> bool:
    """Whether the node's own geometry says more than the placeholder that software writes when it knows none."""
    return not is_placeholder_geometry(*straightGrid(ijkToRas(volumeNode), volumeNode.GetName()))
