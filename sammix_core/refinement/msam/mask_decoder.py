"""The mask decoder of SAM-Med3D: tokens and embedding attend to each other, then a token's weights paint the mask."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from sammix_core.refinement.msam.layers import ChannelNorm, Mlp
from sammix_core.refinement.msam.spec import MSamSpec

_HEADS = 8
_NARROWER = 2  # attention between tokens and cells divides the channels by this
_SCORE_HIDDEN = 256
_MASKS = 4  # SAM's single mask and three alternatives; M-SAM uses the first


class _CrossAttention(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(channels, inner)
        self.k_proj = nn.Linear(channels, inner)
        self.v_proj = nn.Linear(channels, inner)
        self.out_proj = nn.Linear(inner, channels)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """(n, m, channels) and twice (n, l, channels) to (n, m, channels)."""
        projected = (self.q_proj(q), self.k_proj(k), self.v_proj(v))
        heads = [part.unflatten(-1, (_HEADS, -1)).transpose(1, 2) for part in projected]
        return self.out_proj(functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(-2))


class _TwoWayBlock(nn.Module):
    def __init__(self, channels: int, hidden: int, first: bool) -> None:
        super().__init__()
        self._first = first
        self.self_attn = _CrossAttention(channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = _CrossAttention(channels, channels // _NARROWER)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, hidden, functional.relu)
        self.norm3 = nn.LayerNorm(channels)
        self.norm4 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = _CrossAttention(channels, channels // _NARROWER)

    def forward(
        self, tokens: torch.Tensor, cells: torch.Tensor, token_positions: torch.Tensor, cell_positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._first:  # tokens are their own positions here
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            positioned = tokens + token_positions
            tokens = tokens + self.self_attn(positioned, positioned, tokens)
        tokens = self.norm1(tokens)
        positioned_cells = cells + cell_positions
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_positions, positioned_cells, cells))
        tokens = self.norm3(tokens + self.mlp(tokens))
        cells = self.norm4(cells + self.cross_attn_image_to_token(positioned_cells, tokens + token_positions, tokens))
        return tokens, cells


class _TwoWayTransformer(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_TwoWayBlock(channels, hidden, first) for first in (True, False))
        self.final_attn_token_to_image = _CrossAttention(channels, channels // _NARROWER)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(
        self, cells: torch.Tensor, cell_positions: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        positions = tokens
        for layer in self.layers:
            tokens, cells = layer(tokens, cells, positions, cell_positions)
        attended = self.final_attn_token_to_image(tokens + positions, cells + cell_positions, cells)
        return self.norm_final_attn(tokens + attended), cells


class _Layers(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        *inner, last = self.layers
        for layer in inner:
            values = functional.relu(layer(values))
        return last(values)


class MaskDecoder(nn.Module):
    """Embedding and prompts to a mask and its score."""

    def __init__(self, spec: MSamSpec) -> None:
        super().__init__()
        channels = spec.channels
        self.transformer = _TwoWayTransformer(channels, spec.decoder_hidden)
        self.iou_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(_MASKS, channels)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose3d(channels, channels // 4, kernel_size=2, stride=2),
            ChannelNorm(channels // 4),
            nn.GELU(),
            nn.ConvTranspose3d(channels // 4, channels // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            _Layers(channels, channels, channels, channels // 8) for _ in range(_MASKS)
        )
        self.iou_prediction_head = _Layers(channels, _SCORE_HIDDEN, _SCORE_HIDDEN, _MASKS)

    def forward(
        self, cells: torch.Tensor, positions: torch.Tensor, prompts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decodes a mask.

        Args:
            cells: (n, channels, grid, grid, grid): the embedding with the last mask in it.
            positions: (1, channels, grid, grid, grid): encoded position of each cell.
            prompts: (n, m, channels) tokens of the clicks.

        Returns:
            Logits (n, 1, 4 grid, 4 grid, 4 grid) and predicted IoU (n,).
        """
        count, grid = len(cells), cells.shape[2:]
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])[None].expand(count, -1, -1)
        tokens, attended = self.transformer(
            cells.flatten(2).transpose(1, 2),
            positions.flatten(2).transpose(1, 2),
            torch.cat([output_tokens, prompts], dim=1),
        )
        fine = self.output_upscaling(attended.transpose(1, 2).unflatten(2, grid))
        weights = self.output_hypernetworks_mlps[0](tokens[:, 1])
        logits = torch.einsum("nc,ncdhw->ndhw", weights, fine)[:, None]
        return logits, self.iou_prediction_head(tokens[:, 0])[:, 0]
