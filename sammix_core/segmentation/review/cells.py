"""A volume on cells of some three millimetres, on which all slices are looked at in an instant. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_CELL_MM = 3.0
_TYPICAL_FIELD_MM, _TYPICAL_STEP_MM = 380.0, 5.0  # of a volume whose spacing is not known
_LEAST_SPREAD_HU = 8.0
_LIKE, _UNLIKE = 2.0, 3.0  # spreads
_CONSISTENT = 1.4826  # from a median absolute deviation to a standard deviation


@dataclass(frozen=True)
class CellGrid:
    """The cells of a volume's canonical slices.

    Attributes:
        block: (rows, cols) pixels of a cell; what is left over at the far edges has no cell.
        pixel_mm2: Area of a pixel.
        step_mm: Distance of slices.
    """

    block: tuple[int, int]
    pixel_mm2: float
    step_mm: float

    @classmethod
    def of(cls, shape: tuple[int, int, int], spacing: tuple[float, float, float], spacing_known: bool) -> CellGrid:
        """Fits cells to pixels.

        Args:
            shape: (slices, rows, cols) in canonical axial order.
            spacing: (slice, row, col) mm.
            spacing_known: Otherwise a typical body is assumed.
        """
        pixel = _TYPICAL_FIELD_MM / max(shape[1:])
        step_mm, row_mm, col_mm = spacing if spacing_known else (_TYPICAL_STEP_MM, pixel, pixel)
        block = (max(1, round(_CELL_MM / row_mm)), max(1, round(_CELL_MM / col_mm)))
        return cls(block, row_mm * col_mm, step_mm)

    @property
    def cell_mm2(self) -> float:
        """Area of a cell."""
        return self.pixel_mm2 * self.block[0] * self.block[1]

    def of_mask(self, plane: np.ndarray) -> np.ndarray:
        """The cells whose middle pixel is inside.

        Args:
            plane: (rows, cols), what is not 0 is inside.

        Returns:
            (cell rows, cell cols) bool.
        """
        rows, cols = self.block
        whole = plane[: plane.shape[0] // rows * rows, : plane.shape[1] // cols * cols]
        return np.ascontiguousarray(whole[rows // 2 :: rows, cols // 2 :: cols] != 0)

    def of_hu(self, plane: np.ndarray) -> np.ndarray:
        """The cells' means, each with a little of its neighbours', so that noise does not look like tissue.

        Args:
            plane: (rows, cols) HU.

        Returns:
            (cell rows, cell cols) float32.
        """
        rows, cols = self.block
        n_rows, n_cols = plane.shape[0] // rows, plane.shape[1] // cols
        blocks = plane[: n_rows * rows, : n_cols * cols].reshape(n_rows, rows, n_cols, cols)
        means = blocks.mean((1, 3), dtype=np.float32)
        for axis in (0, 1):
            means = (_shifted(means, 1, axis) + 2 * means + _shifted(means, -1, axis)) / 4
        return means

    def to_pixels(self, cells: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Cells on the pixels of a slice of a shape; 0 where there is no cell."""
        whole = np.repeat(np.repeat(cells, self.block[0], 0), self.block[1], 1)
        plane = np.zeros(shape, cells.dtype)
        plane[: whole.shape[0], : whole.shape[1]] = whole
        return plane


@dataclass(frozen=True)
class Density:
    """What the organ's tissue has.

    Attributes:
        hu: Its median.
        spread: How far it varies: a robust standard deviation, in HU.
    """

    hu: float
    spread: float

    @classmethod
    def of(cls, values: Iterable[np.ndarray]) -> Density | None:
        """Of the HU inside the masks; None where there are none."""
        every = np.concatenate([np.empty(0, np.float32), *values])
        if not every.size:
            return None
        middle = float(np.median(every))
        spread = _CONSISTENT * float(np.median(np.abs(every - middle)))
        return cls(middle, max(_LEAST_SPREAD_HU, spread))

    def like(self, hu: np.ndarray) -> np.ndarray:
        """Where tissue may be the organ's, bool."""
        return np.abs(hu - self.hu) <= _LIKE * self.spread

    def unlike(self, hu: np.ndarray) -> np.ndarray:
        """Where tissue is hardly the organ's, bool."""
        return np.abs(hu - self.hu) > _UNLIKE * self.spread

    def close_to(self, other: Density) -> bool:
        """Whether it makes no difference which of the two is taken."""
        return abs(self.hu - other.hu) < other.spread / 4 and 0.8 < self.spread / other.spread < 1.25


def grown(cells: np.ndarray, steps: int) -> np.ndarray:
    """Bool cells grown by steps, straight and aslant in turns, so that they stay round."""
    result = cells
    for step in range(steps):
        rows = result | _shifted(result, 1, 0) | _shifted(result, -1, 0)
        source = rows if step % 2 else result
        result = rows | _shifted(source, 1, 1) | _shifted(source, -1, 1)
    return result


def shrunk(cells: np.ndarray, steps: int) -> np.ndarray:
    """Bool cells shrunk by steps; beyond the edges of the slice they go on."""
    return ~grown(~cells, steps)


def _shifted(cells: np.ndarray, step: int, axis: int) -> np.ndarray:
    """Cells moved by one along an axis; the last ones are repeated at the edge."""
    result = cells.copy()
    to = [slice(None), slice(None)]
    source = [slice(None), slice(None)]
    to[axis], source[axis] = (slice(1, None), slice(None, -1)) if step > 0 else (slice(None, -1), slice(1, None))
    result[tuple(to)] = cells[tuple(source)]
    return result
