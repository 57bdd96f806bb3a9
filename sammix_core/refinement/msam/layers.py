"""Layers that the parts of M-SAM share, in 2-D and 3-D. Parameters have the names of SAM-Med3D's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import nn
from torch.nn import functional

CONVOLUTION: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
AXES = {2: ("h", "w"), 3: ("d", "h", "w")}
_EPSILON = 1e-6


class ChannelNorm(nn.Module):
    """Normalises the channels of each cell, whatever the number of axes: (n, channels, ...)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """Returns the same shape."""
        last = cells.movedim(1, -1)
        return functional.layer_norm(last, self.weight.shape, self.weight, self.bias, _EPSILON).movedim(-1, 1)


class Mlp(nn.Module):
    """Two linear layers on the last axis."""

    def __init__(self, channels: int, hidden: int, activation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.lin1 = nn.Linear(channels, hidden)
        self.lin2 = nn.Linear(hidden, channels)
        self._activation = activation

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """Returns the same shape."""
        return self.lin2(self._activation(self.lin1(cells)))


def relative_positions(table: torch.Tensor, size: int) -> torch.Tensor:
    """The embedding of each key's position relative to each query's along one axis.

    Args:
        table: (2 n - 1, channels) for the n cells that it was learnt on; interpolated for another number.
        size: Cells of the axis.

    Returns:
        (size, size, channels): query, key, channels.
    """
    length = 2 * size - 1
    if len(table) != length:
        table = functional.interpolate(table.T[None], size=length, mode="linear")[0].T
    cells = torch.arange(size, device=table.device)
    return table[cells[:, None] - cells[None, :] + size - 1]


class RelativeAttention(nn.Module):
    """Self-attention of all cells of a grid with decomposed relative positions, on a grid of any size.

    Args:
        channels: Of the cells.
        heads: Of the attention; they share the channels evenly.
        grid: Cells along each axis that the position tables are made for; its length is the number of axes.
    """

    def __init__(self, channels: int, heads: int, grid: Sequence[int]) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.axes = AXES[len(grid)]
        for axis, size in zip(self.axes, grid, strict=True):
            self.register_parameter(f"rel_pos_{axis}", nn.Parameter(torch.zeros(2 * size - 1, channels // heads)))

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """Attends.

        Args:
            cells: (n, *grid, channels).

        Returns:
            The same shape.
        """
        grid = cells.shape[1:-1]
        q, k, v = (
            part.flatten(1, -2).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(cells).chunk(3, dim=-1)
        )
        tables = [
            relative_positions(self.get_parameter(f"rel_pos_{axis}"), size)
            for axis, size in zip(self.axes, grid, strict=True)
        ]
        bias = self._bias(q.unflatten(2, grid), tables).flatten(2 + len(grid)).flatten(2, -2)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).flatten(-2).unflatten(1, grid))

    def _bias(self, queries: torch.Tensor, tables: list[torch.Tensor]) -> torch.Tensor:
        """(n, heads, *grid, channels) and a (size, size, channels) for each axis to (n, heads, *grid, *grid)."""
        terms = []
        for axis, table in enumerate(tables):
            along = torch.einsum("...qc,qkc->...qk", queries.movedim(2 + axis, -2), table).movedim(-2, 2 + axis)
            key_shape = [table.shape[1] if other == axis else 1 for other in range(len(tables))]
            terms.append(along.unflatten(-1, key_shape))
        return reduce(torch.add, terms)
