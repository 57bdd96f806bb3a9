"""The mask-enhanced adapter of M-SAM: merges an image embedding with the embedding of a mask.

Written once for slices and volumes. Its output replaces `image embedding + dense prompt` before the decoder.
How we read the paper and its code: docs/decisions/msam.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from sammix_core.refinement.msam.layers import CONVOLUTION, ChannelNorm, Mlp, RelativeAttention

_MLP_FACTOR = 4


class _SelfAttention(nn.Module):
    """Norm, multi-head self-attention, add and norm, MLP; (n, channels, *grid) to the same."""

    def __init__(self, channels: int, heads: int, grid: Sequence[int]) -> None:
        super().__init__()
        self.norm_before = ChannelNorm(channels)
        self.attention = RelativeAttention(channels, heads, grid)
        self.norm_after = ChannelNorm(channels)
        self.mlp = Mlp(channels, _MLP_FACTOR * channels, functional.gelu)

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        seen = self.attention(self.norm_before(cells).movedim(1, -1)).movedim(-1, 1)
        return self.mlp(self.norm_after(seen + cells).movedim(1, -1)).movedim(-1, 1)


class _Stream(nn.Module):
    """One of the two embeddings: convolutions first, then attention to both."""

    def __init__(self, channels: int, heads: int, grid: Sequence[int]) -> None:
        super().__init__()
        convolution = CONVOLUTION[len(grid)]
        self.convolve = nn.Sequential(
            convolution(channels, channels, kernel_size=3, padding=1),
            ChannelNorm(channels),
            nn.GELU(),
            convolution(channels, channels, kernel_size=1),
        )
        self.norm_convolved = ChannelNorm(channels)
        self.attention = _SelfAttention(channels, heads, grid)
        self.norm_attended = ChannelNorm(channels)
        self.mlp = Mlp(channels, _MLP_FACTOR * channels, functional.gelu)
        self.norm = ChannelNorm(channels)

    def forward(self, stream: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        convolved = self.norm_convolved(self.convolve(stream) + stream)
        attended = self.norm_attended(self.attention(convolved + stream + other) + convolved)
        return self.norm(self.mlp(attended.movedim(1, -1)).movedim(-1, 1) + attended)


class MaskEnhancedAdapter(nn.Module):
    """Merges image embedding I and mask embedding P into one embedding.

    Args:
        channels: Of both embeddings.
        heads: Of the attentions; `channels` is a multiple.
        grid: Cells along each axis that the relative positions are learnt for; its length, 2 or 3, makes the adapter
            one for slices or for volumes. On other grids positions are interpolated.

    Raises:
        ValueError: The grid has other than 2 or 3 axes, or the heads do not share the channels evenly.

    Example:
        >>> adapter = MaskEnhancedAdapter(channels=12, heads=2, grid=(4, 4))
        >>> adapter(torch.zeros(1, 12, 6, 5), torch.zeros(1, 12, 6, 5)).shape
        torch.Size([1, 12, 6, 5])
    """

    def __init__(self, channels: int = 384, heads: int = 6, grid: Sequence[int] = (8, 8, 8)) -> None:
        super().__init__()
        if len(grid) not in CONVOLUTION or channels % heads:
            raise ValueError(f"no adapter has {channels} channels, {heads} heads and the grid {tuple(grid)}")
        self.norm_image = ChannelNorm(channels)
        self.norm_mask = ChannelNorm(channels)
        self.image_stream = _Stream(channels, heads, grid)
        self.mask_stream = _Stream(channels, heads, grid)
        self.attention = _SelfAttention(channels, heads, grid)
        self.norm = ChannelNorm(channels)
        self.mlp = Mlp(channels, _MLP_FACTOR * channels, functional.gelu)

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Merges both.

        Args:
            image: (n, channels, *grid) image embedding.
            mask: (n, channels, *grid) dense embedding of the last mask.

        Returns:
            (n, channels, *grid).
        """
        image, mask = self.norm_image(image), self.norm_mask(mask)
        both = self.image_stream(image, mask) + image + self.mask_stream(mask, image) + mask
        joined = self.norm(self.attention(both) + both)
        return joined + self.mlp(joined.movedim(1, -1)).movedim(-1, 1)
