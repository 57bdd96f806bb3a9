"""The image encoder of SAM-Med3D: a 3-D ViT, most of whose blocks attend within windows."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sammix_core.refinement.msam.layers import ChannelNorm, Mlp, RelativeAttention
from sammix_core.refinement.msam.spec import MSamSpec

_MLP_FACTOR = 4


class PublishedAttention(RelativeAttention):
    """Relative positions as SAM-Med3D's code adds them.

    With the query at (d, h, w) and the key at (x, y, z) one would add d and x, h and y, w and z. The published code
    adds terms of d and z, of h and z of the query moved to w = x, and of y and z of the query moved to w = y. Weights
    that were trained with this code need it.
    """

    def _bias(self, queries: torch.Tensor, tables: list[torch.Tensor]) -> torch.Tensor:
        along_d, along_h, along_w = tables
        first = torch.einsum("nedhwc,dzc->nedhwz", queries, along_d)[..., None, None, :]
        second = torch.einsum("nedhxc,hzc->nedhxz", queries, along_h)[:, :, :, :, None, :, None, :]
        third = torch.einsum("nedhyc,yzc->nedhyz", queries, along_w)[:, :, :, :, None, None, :, :]
        return first + second + third


class _Block(nn.Module):
    """A transformer block on (n, d, h, w, width)."""

    def __init__(self, spec: MSamSpec, is_global: bool) -> None:
        super().__init__()
        self._window = 0 if is_global else spec.window
        attention = PublishedAttention if spec.published else RelativeAttention
        self.norm1 = nn.LayerNorm(spec.width, eps=1e-6)
        self.attn = attention(spec.width, spec.heads, (self._window or spec.grid,) * 3)
        self.norm2 = nn.LayerNorm(spec.width, eps=1e-6)
        self.mlp = Mlp(spec.width, _MLP_FACTOR * spec.width, functional.gelu)

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        attended = self.norm1(cells)
        attended = in_windows(attended, self._window, self.attn) if self._window else self.attn(attended)
        cells = cells + attended
        return cells + self.mlp(self.norm2(cells))


def in_windows(cells: torch.Tensor, window: int, attention: nn.Module) -> torch.Tensor:
    """Attends within cubes; the grid is padded at its end with zeros, which are attended to as well.

    Args:
        cells: (n, d, h, w, channels).
        window: Cells along each axis of a cube.
        attention: (m, window, window, window, channels) to the same.
    """
    d, h, w = cells.shape[1:4]
    pad = [(-size) % window for size in (d, h, w)]
    padded = functional.pad(cells, (0, 0, 0, pad[2], 0, pad[1], 0, pad[0]))
    split = padded.unflatten(3, (-1, window)).unflatten(2, (-1, window)).unflatten(1, (-1, window))
    cubes = split.permute(0, 1, 3, 5, 2, 4, 6, 7)
    attended = attention(cubes.flatten(0, 3)).view_as(cubes)
    back = attended.permute(0, 1, 4, 2, 5, 3, 6, 7).flatten(5, 6).flatten(3, 4).flatten(1, 2)
    return back[:, :d, :h, :w]


class _PatchEmbedding(nn.Module):
    def __init__(self, spec: MSamSpec) -> None:
        super().__init__()
        self.proj = nn.Conv3d(1, spec.width, kernel_size=spec.patch, stride=spec.patch)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.proj(images).movedim(1, -1)


class ImageEncoder(nn.Module):
    """Crops to embeddings."""

    def __init__(self, spec: MSamSpec) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbedding(spec)
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.grid, spec.grid, spec.grid, spec.width))
        self.blocks = nn.ModuleList(_Block(spec, number in spec.global_blocks) for number in range(spec.depth))
        self.neck = nn.Sequential(
            nn.Conv3d(spec.width, spec.channels, kernel_size=1, bias=False),
            ChannelNorm(spec.channels),
            nn.Conv3d(spec.channels, spec.channels, kernel_size=3, padding=1, bias=False),
            ChannelNorm(spec.channels),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes crops.

        Args:
            images: (n, 1, crop, crop, crop), normalised.

        Returns:
            (n, channels, grid, grid, grid).
        """
        cells = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            cells = block(cells)
        return self.neck(cells.movedim(-1, 1))
