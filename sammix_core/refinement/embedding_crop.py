"""Which cells of an embedding the adapter looks at: a square round the mask, coarser for large masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

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


class Cutting(NamedTuple):
    """Matrices that cut windows out of maps and put them back; rows and columns apart, one of each a map.

    With matrices of one shape, whatever the window, a network can be compiled.

    Attributes:
        rows_out: (n, side, cells): which rows of the map a row of the part is the mean of.
        cols_out: Likewise.
        rows_back: (n, cells, side): which rows of the part a row of the map lies between; zeros about the window.
        cols_back: Likewise.
    """

    rows_out: torch.Tensor
    cols_out: torch.Tensor
    rows_back: torch.Tensor
    cols_back: torch.Tensor

    @classmethod
    def of(cls, windows: list[Window], cells: int, side: int, device: torch.device) -> Cutting:
        """The matrices of some windows.

        Args:
            windows: One a map.
            cells: Along a side of the maps.
            side: Cells along a side of the parts; of a larger window each is the mean of several.
            device: Where they are wanted.
        """
        found: tuple[list[torch.Tensor], ...] = ([], [], [], [])
        for window in windows:
            own, coarse = torch.eye(window.side), torch.eye(side)
            out = functional.adaptive_avg_pool1d(own[None], side)[0].T
            back = functional.interpolate(coarse[None], window.side, mode="linear", align_corners=False)[0].T
            for place, start in enumerate((window.row, window.col)):
                about = (start, cells - window.side - start)
                found[place].append(functional.pad(out, about))
                found[place + 2].append(functional.pad(back, (0, 0, *about)))
        return cls(*(torch.stack(one).to(device) for one in found))


def cut(maps: torch.Tensor, cutting: Cutting) -> torch.Tensor:
    """Cuts (n, c, cells, cells) to (n, c, side, side)."""
    return cutting.rows_out[:, None] @ maps @ cutting.cols_out[:, None].transpose(2, 3)


def put_back(parts: torch.Tensor, cutting: Cutting) -> torch.Tensor:
    """The way back from (n, c, side, side) to (n, c, cells, cells), with zeros about the windows."""
    return cutting.rows_back[:, None] @ parts @ cutting.cols_back[:, None].transpose(2, 3)
