"""Where a volume's voxels lie in the patient, apart from what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import grid_from_ras

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume

Vector = tuple[float, float, float]

# A NIfTI header keeps float32 and a scanner's origin a few decimals. A tenth of a voxel shifts no voxel.
_SAME_WITHIN_VOXELS = 0.1


@dataclass(frozen=True)
class VolumeGrid:
    """The grid of a volume: how many voxels there are along each axis, and where they lie.

    Attributes:
        shape: (n_i, n_j, n_k).
        spacing: (i, j, k) in mm, each > 0.
        origin: LPS in mm of the centre of voxel (0, 0, 0).
        directions: The LPS unit vectors of the i, j and k axes, at right angles to each other.

    Raises:
        ValueError: The numbers are not such a grid.
    """

    shape: tuple[int, int, int]
    spacing: Vector
    origin: Vector
    directions: tuple[Vector, Vector, Vector]

    def __post_init__(self) -> None:
        if not all(np.isfinite(step) and step > 0 for step in self.spacing):
            raise ValueError(f"the spacing must be three lengths above 0, not {list(self.spacing)}")
        if not np.isfinite(self.origin).all():
            raise ValueError(f"the origin must be three finite numbers, not {list(self.origin)}")
        matrix = np.asarray(self.directions)
        if not np.isfinite(matrix).all() or not np.allclose(matrix @ matrix.T, np.eye(3), atol=5e-3):
            raise ValueError("the directions must be three unit vectors at right angles")

    @classmethod
    def of(cls, volume: Volume) -> Self | None:
        """The grid of a volume, or None where its file has lost the spacing."""
        if not volume.spacing_known:
            return None
        n_k, n_j, n_i = volume.shape_kji
        direction = volume.direction if volume.found_order is None else volume.found_order.direction()
        i, j, k = (_vector(direction[:, axis]) for axis in range(3))
        return cls((n_i, n_j, n_k), _vector(volume.spacing), _vector(volume.origin), (i, j, k))

    @classmethod
    def from_ras(cls, shape_kji: tuple[int, int, int], ijk_to_ras: np.ndarray) -> Self:
        """The grid of an array as 3D Slicer has it.

        Args:
            shape_kji: The array's shape.
            ijk_to_ras: (4, 4), homogeneous voxel indices (i, j, k) to RAS mm, without shear.

        Raises:
            ValueError: The matrix is singular or sheared.
        """
        spacing, origin, direction = grid_from_ras(ijk_to_ras)
        n_k, n_j, n_i = shape_kji
        i, j, k = (_vector(direction[:, axis]) for axis in range(3))
        return cls((n_i, n_j, n_k), spacing, origin, (i, j, k))

    @cached_property
    def axial_order(self) -> AxialOrder:
        """How its axes become canonical axial slices."""
        return AxialOrder.from_direction(np.asarray(self.directions).T)

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """(slices, rows, cols) in canonical axial order."""
        return self.axial_order.shape(self.shape[::-1])

    def canonical_corners_lps(self) -> np.ndarray:
        """(8, 3) LPS in mm of the centres of the corner voxels, in canonical axial order."""
        order, last = self.axial_order, np.array(self.shape) - 1
        corners_ijk = np.zeros((8, 3))
        for corner, ends in enumerate(np.ndindex(2, 2, 2)):
            for axis, flip, end in zip(order.axes, order.flips, ends, strict=True):
                corners_ijk[corner, axis] = last[axis] * (end != flip)
        return np.asarray(self.origin) + (corners_ijk * self.spacing) @ np.asarray(self.directions)

    def distance_mm(self, other: VolumeGrid) -> float:
        """How far the corners of two grids of the same canonical shape lie apart at most, axis order aside."""
        return float(np.linalg.norm(self.canonical_corners_lps() - other.canonical_corners_lps(), axis=1).max())

    def holds_same_voxels(self, other: VolumeGrid) -> bool:
        """Whether both are the same voxels of the same patient, stored in the same or in another order of axes."""
        if self.canonical_shape != other.canonical_shape:
            return False
        return self.distance_mm(other) <= _SAME_WITHIN_VOXELS * min(*self.spacing, *other.spacing)


def _vector(numbers: Sequence[float] | np.ndarray) -> Vector:
    x, y, z = (float(number) for number in numbers)
    return x, y, z
