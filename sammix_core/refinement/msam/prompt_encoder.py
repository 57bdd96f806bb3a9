"""The prompt encoder of SAM-Med3D: clicks to tokens, a mask to a dense embedding."""

from __future__ import annotations

import math

import torch
from torch import nn

from sammix_core.refinement.msam.layers import ChannelNorm
from sammix_core.refinement.msam.spec import MSamSpec

POSITIVE, NEGATIVE, ABSENT = 1, 0, -1
_MASK_CHANNELS = 16


class _Positions(nn.Module):
    """Random Fourier features of positions in [0, 1]: sine, cosine, sine again, as SAM-Med3D fills its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(3, channels // 3))

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """(..., 3) to (..., channels)."""
        angles = 2 * math.pi * ((2 * positions - 1) @ self.get_buffer("positional_encoding_gaussian_matrix"))
        return torch.cat([angles.sin(), angles.cos(), angles.sin()], dim=-1)


class PromptEncoder(nn.Module):
    """Encodes clicks and the last mask for the decoder."""

    def __init__(self, spec: MSamSpec) -> None:
        super().__init__()
        channels = spec.channels
        self._crop, self._grid, self._published = spec.crop, spec.grid, spec.published
        self.pe_layer = _Positions(channels)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in (NEGATIVE, POSITIVE))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            nn.Conv3d(1, _MASK_CHANNELS // 4, kernel_size=2, stride=2),
            ChannelNorm(_MASK_CHANNELS // 4),
            nn.GELU(),
            nn.Conv3d(_MASK_CHANNELS // 4, _MASK_CHANNELS, kernel_size=2, stride=2),
            ChannelNorm(_MASK_CHANNELS),
            nn.GELU(),
            nn.Conv3d(_MASK_CHANNELS, channels, kernel_size=1),
        )
        # SAM-Med3D's prompt where there is no mask. M-SAM always has one, empty at first; the weights have its place.
        self.no_mask_embed = nn.Embedding(1, channels)

    def dense_positions(self) -> torch.Tensor:
        """(1, channels, grid, grid, grid): encoded position of each cell.

        SAM-Med3D's code swaps the first two axes here and not in the clicks; see `MSamSpec.published`.
        """
        centres = (torch.arange(self._grid, device=self.not_a_point_embed.weight.device) + 0.5) / self._grid
        positions = torch.stack(torch.meshgrid(centres, centres, centres, indexing="ij"), dim=-1)
        if self._published:
            positions = positions[..., [1, 0, 2]]
        return self.pe_layer(positions).movedim(-1, 0)[None]

    def forward(
        self, points: torch.Tensor, labels: torch.Tensor, mask_logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes prompts.

        Args:
            points: (n, m, 3) voxel indices of the crop, in the order of its axes; m may be 0.
            labels: (n, m) `POSITIVE`, `NEGATIVE` or `ABSENT`.
            mask_logits: (n, 1, mask_size, mask_size, mask_size) of the last mask, zeros without one.

        Returns:
            Tokens (n, m + 1, channels), the last of which means that there is no box, and the dense embedding
            (n, channels, grid, grid, grid).
        """
        points = nn.functional.pad(points.float(), (0, 0, 0, 1))
        kinds = nn.functional.pad(labels, (0, 1), value=ABSENT)[..., None]
        tokens = self.pe_layer((points + 0.5) / self._crop)
        tokens = torch.where(kinds == ABSENT, self.not_a_point_embed.weight, tokens)
        for kind, embedding in enumerate(self.point_embeddings):
            tokens = tokens + (kinds == kind) * embedding.get_parameter("weight")
        return tokens, self.mask_downscaling(mask_logits)
