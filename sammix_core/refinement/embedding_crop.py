"""Which cells of an embedding the adapter sees: a square crop round the mask, coarser for large masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional

_PIXELS_A_CELL = 4
_MARGIN_CELLS = 2  # on each side of the mask, for it to grow into


@dataclass(frozen=True)
class EmbeddingCrop:
    """A square of cells of an embedding.

    Attributes:
        row: First row.
        col: First column.
        side: Cells along a side.
    """

    row: int
    col: int
    side: int


def crops_around(boxes: torch.Tensor, cells: int, min_side: int) -> list[EmbeddingCrop]:
    """Chooses a crop for each box: round its centre, moved to lie inside, and larger where the box is.

    Args:
        boxes: (n, 4) XYXY edges in network pixels.
        cells: Along a side of the embedding.
        min_side: The smallest crop, in cells along a side; no more than `cells`.

    Example:
        >>> crops_around(torch.tensor([[0.0, 100.0, 20.0, 140.0]]), cells=64, min_side=24)
        [EmbeddingCrop(row=18, col=0, side=24)]
    """
    crops = []
    for x_min, y_min, x_max, y_max in (boxes / _PIXELS_A_CELL).tolist():
        needed = math.ceil(max(x_max - x_min, y_max - y_min)) + 2 * _MARGIN_CELLS
        side = min(max(needed, min_side), cells)
        row, col = (
            min(max(round(centre - side / 2), 0), cells - side) for centre in ((y_min + y_max) / 2, (x_min + x_max) / 2)
        )
        crops.append(EmbeddingCrop(row, col, side))
    return crops


class CropMatrices(NamedTuple):
    """Matrices that crop maps and put crops back; rows and columns apart, one of each for each map.

    The matrices have one shape whatever the crop, so that a network can be compiled.

    Attributes:
        rows_out: (n, side, cells): the rows of a map whose mean is a row of its crop.
        cols_out: Likewise for columns.
        rows_back: (n, cells, side): the rows of a crop between which a row of the map lies; zeros outside the crop.
        cols_back: Likewise for columns.
    """

    rows_out: torch.Tensor
    cols_out: torch.Tensor
    rows_back: torch.Tensor
    cols_back: torch.Tensor

    @classmethod
    def of(cls, crops: list[EmbeddingCrop], cells: int, side: int, device: torch.device) -> CropMatrices:
        """The matrices of some crops.

        Args:
            crops: One for each map.
            cells: Along a side of the maps.
            side: Cells along a side of the result; those of a larger crop are means of several.
            device: Of the matrices.
        """
        pairs = [[_matrices(start, crop.side, cells, side) for start in (crop.row, crop.col)] for crop in crops]
        rows_out, cols_out = (torch.stack([pair[axis][0] for pair in pairs]).to(device) for axis in (0, 1))
        rows_back, cols_back = (torch.stack([pair[axis][1] for pair in pairs]).to(device) for axis in (0, 1))
        return cls(rows_out, cols_out, rows_back, cols_back)


def crop_maps(maps: torch.Tensor, matrices: CropMatrices) -> torch.Tensor:
    """Crops (n, c, cells, cells) to (n, c, side, side)."""
    return matrices.rows_out[:, None] @ maps @ matrices.cols_out[:, None].transpose(2, 3)


def uncrop_maps(crops: torch.Tensor, matrices: CropMatrices) -> torch.Tensor:
    """Puts (n, c, side, side) back into (n, c, cells, cells), with zeros outside the crops."""
    return matrices.rows_back[:, None] @ crops @ matrices.cols_back[:, None].transpose(2, 3)


def _matrices(start: int, length: int, cells: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Out (side, cells) and back (cells, side) along one axis, for a crop of `length` cells from `start`."""
    fine, coarse = torch.eye(length), torch.eye(side)
    out = functional.adaptive_avg_pool1d(fine[None], side)[0].T
    back = functional.interpolate(coarse[None], length, mode="linear", align_corners=False)[0].T
    outside = (start, cells - length - start)
    return functional.pad(out, outside), functional.pad(back, (0, 0, *outside))
