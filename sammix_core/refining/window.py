"""Which cells of an embedding the adapter looks at: a square round the mask, coarser for large masks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

_PIXELS_A_CELL = 4
_MARGIN_CELLS = 2  # of what lies about the mask, for it to grow into


@dataclass(frozen=True)
class Window:
    """A square of cells of an embedding.

    Attributes:
        row: First row.
        col: First column.
        side: Cells along a side.
    """

    row: int
    col: int
    side: int


def windows_round(boxes: torch.Tensor, cells: int, least: int) -> list[Window]:
    """Chooses a window for each box: round its middle, moved to lie inside, and larger where the box is.

    Args:
        boxes: (n, 4) XYXY edges in network pixels.
        cells: Along a side of the embedding.
        least: Cells along a side of a window at least; no more than `cells`.

    Example:
        >>> windows_round(torch.tensor([[0.0, 100.0, 20.0, 140.0]]), cells=64, least=24)
        [Window(row=18, col=0, side=24)]
    """
    found = []
    for x_min, y_min, x_max, y_max in (boxes / _PIXELS_A_CELL).tolist():
        wanted = math.ceil(max(x_max - x_min, y_max - y_min)) + 2 * _MARGIN_CELLS
        side = min(max(wanted, least), cells)
        row, col = (
            min(max(round(middle - side / 2), 0), cells - side) for middle in ((y_min + y_max) / 2, (x_min + x_max) / 2)
        )
        found.append(Window(row, col, side))
    return found


def cut(maps: torch.Tensor, windows: list[Window], side: int) -> torch.Tensor:
    """Cuts (n, c, cells, cells) to (n, c, side, side); of a larger window each cell is the mean of several."""
    found = []
    for one, window in zip(maps, windows, strict=True):
        part = one[:, window.row : window.row + window.side, window.col : window.col + window.side]
        found.append(part if window.side == side else functional.adaptive_avg_pool2d(part, side))
    return torch.stack(found)


def put_back(parts: torch.Tensor, windows: list[Window], cells: int) -> torch.Tensor:
    """The way back from (n, c, side, side) to (n, c, cells, cells), with zeros about the windows."""
    found = []
    for one, window in zip(parts, windows, strict=True):
        size = (window.side, window.side)
        if one.shape[-1] != window.side:
            one = functional.interpolate(one[None], size=size, mode="bilinear", align_corners=False)[0]
        right, below = cells - window.side - window.col, cells - window.side - window.row
        found.append(functional.pad(one, (window.col, right, window.row, below)))
    return torch.stack(found)
