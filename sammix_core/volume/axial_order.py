"""Reorders a user's array into canonical axial slices and back, by permuting and flipping axes only."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

SliceAxis = Literal["i", "j", "k"]

# (i, j, k) as 0, 1, 2 with the letter that names them to users.
_AXIS_NAMES: tuple[SliceAxis, SliceAxis, SliceAxis] = ("i", "j", "k")

# LPS components in canonical order: slices go along S, rows along P, columns along L.
_CANONICAL_LPS = (2, 1, 0)

# Sums of cosines that differ by less than this are a tie, so that rounding in a header cannot change the order.
_TIE = 1e-6

ShapeKji = tuple[int, int, int]
SliceBox = tuple[int, int, int, int]


@dataclass(frozen=True)
class AxialOrder:
    """How the axes of a (k, j, i) array become (slice, row, col) of canonical axial slices.

    Canonical: slices from inferior to superior, rows from anterior to posterior, columns from the patient's right to
    left; so a slice, shown as an image, has the liver on its left and the spine at its bottom. Each axis of an oblique
    volume goes to the anatomical axis nearest to it; nothing is interpolated.

    Attributes:
        axes: For slice, row and col, the axis of the user's volume: 0 is i, 1 is j, 2 is k.
        flips: For slice, row and col, whether the user's index runs the other way.

    Example:
        >>> order = AxialOrder.from_direction(np.diag([-1.0, -1.0, 1.0]))  # i to right, j to anterior
        >>> order.axes, order.flips, order.slice_axis
        ((2, 1, 0), (False, True, True), 'k')
        >>> order.forward(np.arange(4).reshape(1, 2, 2)).tolist()
        [[[3, 2], [1, 0]]]
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def __post_init__(self) -> None:
        if sorted(self.axes) != [0, 1, 2]:
            raise ValueError(f"axes must be a permutation of 0, 1, 2, not {self.axes}")

    @classmethod
    def from_direction(cls, direction: np.ndarray) -> AxialOrder:
        """Finds the order of a volume.

        Args:
            direction: (3, 3), its columns are the LPS unit vectors of the i, j and k axes; any rotation or reflection.

        Returns:
            The assignment of axes with the largest sum of |cosines|. Of equal ones that with k as slices and j as rows
            is taken first, then k as slices, so that 45 degrees always give the same answer.

        Raises:
            ValueError: The matrix is not (3, 3) or not finite.
        """
        cosines = np.asarray(direction, dtype=np.float64)
        if cosines.shape != (3, 3) or not np.isfinite(cosines).all():
            raise ValueError("direction must be a finite (3, 3) matrix")
        candidates = ((2, 1, 0), *(axes for axes in itertools.permutations((2, 1, 0)) if axes != (2, 1, 0)))
        best, best_sum = candidates[0], -np.inf
        for axes in candidates:
            total = sum(abs(cosines[lps, axis]) for lps, axis in zip(_CANONICAL_LPS, axes, strict=True))
            if total > best_sum + _TIE:
                best, best_sum = axes, total
        flips = tuple(bool(cosines[lps, axis] < 0) for lps, axis in zip(_CANONICAL_LPS, best, strict=True))
        return cls(axes=(best[0], best[1], best[2]), flips=(flips[0], flips[1], flips[2]))

    def direction(self) -> np.ndarray:
        """(3, 3) float64 of a volume along the axes with this order; see `from_direction`.

        Example:
            >>> AxialOrder((2, 1, 0), (False, True, True)).direction().diagonal().tolist()
            [-1.0, -1.0, 1.0]
        """
        cosines = np.zeros((3, 3))
        for lps, axis, flip in zip(_CANONICAL_LPS, self.axes, self.flips, strict=True):
            cosines[lps, axis] = -1.0 if flip else 1.0
        return cosines

    @property
    def slice_axis(self) -> SliceAxis:
        """The user's axis along which axial slices are stacked."""
        return _AXIS_NAMES[self.axes[0]]

    def forward(self, array: np.ndarray) -> np.ndarray:
        """Reorders an array into canonical axial slices.

        Args:
            array: (k, j, i), any dtype.

        Returns:
            (slice, row, col), a view of `array`.
        """
        # Axis a of (i, j, k) is axis 2 - a of a (k, j, i) array.
        return array.transpose([2 - axis for axis in self.axes])[self._steps()]

    def back(self, array: np.ndarray) -> np.ndarray:
        """Reorders canonical axial slices into the user's order; the inverse of `forward`.

        Args:
            array: (slice, row, col), any dtype.

        Returns:
            (k, j, i), a view of `array`.
        """
        return array[self._steps()].transpose(np.argsort([2 - axis for axis in self.axes]))

    def slice_to_volume(self, plane: np.ndarray) -> np.ndarray:
        """Reorders one canonical slice into the user's order.

        Args:
            plane: (row, col), any dtype.

        Returns:
            The 2-D slice of the user's (k, j, i) array, a view of `plane`.
        """
        return self.back(plane[None]).squeeze(axis=2 - self.axes[0])

    def slice_to_canonical(self, plane: np.ndarray) -> np.ndarray:
        """Reorders one slice of the user's array into canonical order; the inverse of `slice_to_volume`."""
        return self.forward(np.expand_dims(plane, 2 - self.axes[0]))[0]

    def spacing(self, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
        """The (slice, row, col) spacing in mm for an (i, j, k) spacing in mm."""
        return spacing[self.axes[0]], spacing[self.axes[1]], spacing[self.axes[2]]

    def shape(self, shape_kji: ShapeKji) -> tuple[int, int, int]:
        """The (slice, row, col) shape for a (k, j, i) shape."""
        return self._length(0, shape_kji), self._length(1, shape_kji), self._length(2, shape_kji)

    def slice_index(self, canonical_slice: int, shape_kji: ShapeKji) -> int:
        """The index on the user's slice axis of a canonical slice.

        Raises:
            IndexError: There is no such slice.
        """
        return self._mirror(canonical_slice, shape_kji)

    def canonical_slice(self, index: int, shape_kji: ShapeKji) -> int:
        """The canonical slice of an index on the user's slice axis; the inverse of `slice_index`.

        Raises:
            IndexError: There is no such slice.
        """
        return self._mirror(index, shape_kji)

    def box_to_volume(self, box: SliceBox, shape_kji: ShapeKji) -> SliceBox:
        """Carries a box of a canonical slice to the user's in-plane axes.

        Args:
            box: Half-open (col_min, row_min, col_max, row_max) in pixels of the canonical slice.
            shape_kji: The shape of the user's array.

        Returns:
            Half-open (a_min, b_min, a_max, b_max) in voxel indices of the user's volume, where a is the lower of the
            two in-plane axes (i before j before k).
        """
        col, row = (box[0], box[2]), (box[1], box[3])
        row_on_axis, col_on_axis = self._run(1, row, shape_kji), self._run(2, col, shape_kji)
        a, b = (row_on_axis, col_on_axis) if self.axes[1] < self.axes[2] else (col_on_axis, row_on_axis)
        return a[0], b[0], a[1], b[1]

    def box_to_canonical(self, box: SliceBox, shape_kji: ShapeKji) -> SliceBox:
        """Carries a box in the user's in-plane axes to a canonical slice; the inverse of `box_to_volume`.

        Args:
            box: Half-open (a_min, b_min, a_max, b_max), a being the lower of the two in-plane axes.
            shape_kji: The shape of the user's array.

        Returns:
            Half-open (col_min, row_min, col_max, row_max) in pixels of the canonical slice.
        """
        a, b = (box[0], box[2]), (box[1], box[3])
        row, col = (a, b) if self.axes[1] < self.axes[2] else (b, a)
        row, col = self._run(1, row, shape_kji), self._run(2, col, shape_kji)
        return col[0], row[0], col[1], row[1]

    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)

    def _length(self, canonical_axis: int, shape_kji: ShapeKji) -> int:
        return shape_kji[2 - self.axes[canonical_axis]]

    def _mirror(self, index: int, shape_kji: ShapeKji) -> int:
        length = self._length(0, shape_kji)
        if not 0 <= index < length:
            raise IndexError(f"slice {index} is outside 0 to {length - 1}")
        return length - 1 - index if self.flips[0] else index

    def _run(self, canonical_axis: int, run: tuple[int, int], shape_kji: ShapeKji) -> tuple[int, int]:
        """A half-open run of pixels along one axis, seen from its other end where the axis is flipped."""
        length = self._length(canonical_axis, shape_kji)
        return (length - run[1], length - run[0]) if self.flips[canonical_axis] else run
