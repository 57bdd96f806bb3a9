"""Where the slices of a volume really lie, each as a plane in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sammix_core.volume_io.dicom_headers import Frame

# Files round positions; a tenth of a voxel shifts no voxel.
TOLERANCE_VOXELS = 0.1
_SAME_DIRECTION = 1e-3
_ROUNDED_MM = 0.11


@dataclass(frozen=True, eq=False)
class SlicePlanes:
    """A stack of parallel slices at any distances, also shifted against each other as by a tilted gantry.

    Attributes:
        origins: (n, 3) LPS in mm of the centre of each slice's first pixel.
        column_step: (3,) LPS in mm from one column to the next.
        row_step: (3,) LPS in mm from one row to the next.
        shape: (rows, columns).
    """

    origins: np.ndarray
    column_step: np.ndarray
    row_step: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of_frames(cls, frames: Sequence[Frame]) -> Self | None:
        """The planes of DICOM images; None where they do not say where they lie."""
        first = frames[0]
        if first.orientation is None or first.pixel_spacing is None or any(frame.position is None for frame in frames):
            return None
        between_rows, between_columns = first.pixel_spacing
        return cls(
            np.array([frame.position for frame in frames], dtype=np.float64),
            np.array(first.orientation[:3]) * between_columns,
            np.array(first.orientation[3:]) * between_rows,
            (first.rows, first.columns),
        )

    @classmethod
    def of_grid(cls, shape_kji: tuple[int, int, int], steps_lps: np.ndarray, origin: np.ndarray) -> Self:
        """The k slices of a grid.

        Args:
            shape_kji: Its shape.
            steps_lps: (3, 3) LPS in mm: a step along i, j and k in its columns.
            origin: LPS in mm of voxel (0, 0, 0).
        """
        n_k, n_j, n_i = shape_kji
        origins = np.asarray(origin) + np.arange(n_k)[:, None] * steps_lps[:, 2]
        return cls(origins, steps_lps[:, 0], steps_lps[:, 1], (n_j, n_i))

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector across the slices."""
        normal = np.cross(self.column_step, self.row_step)
        return normal / np.linalg.norm(normal)

    @property
    def heights(self) -> np.ndarray:
        """(n,) mm along the normal."""
        return self.origins @ self.normal

    @property
    def tolerance_mm(self) -> float:
        """How far beside a slice something still lies on it."""
        steps = [np.linalg.norm(self.column_step), np.linalg.norm(self.row_step)]
        gaps = np.diff(np.sort(self.heights))
        steps += [gaps.min()] if len(gaps) else []
        return TOLERANCE_VOXELS * float(min(steps))

    @property
    def slice_tolerance_mm(self) -> float:
        """How far off a slice a contour still lies on it: a tenth of the smallest step, or what headers round."""
        gaps = np.diff(np.sort(self.heights))
        return max(_ROUNDED_MM, TOLERANCE_VOXELS * float(gaps.min())) if len(gaps) else _ROUNDED_MM

    def same_pixels(self, other: SlicePlanes) -> bool:
        """Whether slices of both have as many pixels, of the same size and in the same direction."""
        tolerance = _SAME_DIRECTION * float(np.linalg.norm(self.column_step))
        return self.shape == other.shape and all(
            np.allclose(mine, others, rtol=0, atol=tolerance)
            for mine, others in ((self.column_step, other.column_step), (self.row_step, other.row_step))
        )

    def indices_of(self, other: SlicePlanes) -> np.ndarray | None:
        """(n,) which of these slices each slice of another stack is; None where one of them is none of these."""
        if not self.same_pixels(other):
            return None
        distances = np.linalg.norm(other.origins[:, None] - self.origins[None], axis=2)
        nearest = distances.argmin(1)
        return nearest if (distances.min(1) <= self.tolerance_mm).all() else None

    def pixels_of(self, points_lps: np.ndarray) -> tuple[int, np.ndarray, float]:
        """Places points of one plane on the nearest slice.

        Args:
            points_lps: (n, 3) mm.

        Returns:
            The slice, (n, 2) columns and rows in pixels, and how far the farthest point lies off the slice, in mm.
        """
        index = int(np.abs(self.heights - float((points_lps @ self.normal).mean())).argmin())
        ways = points_lps - self.origins[index]
        off = float(np.abs(ways @ self.normal).max())
        in_plane = np.linalg.lstsq(np.column_stack([self.column_step, self.row_step]), ways.T, rcond=None)[0]
        return index, in_plane.T, off
