"""SAM's mask decoder with its products in another order: the same numbers with half of the multiplications.

A box is seven tokens, a slice is 4,096 cells. SAM projects all cells to queries, keys and values and then multiplies
them with the tokens' few. Since a product of matrices may be bracketed either way, the tokens' side is multiplied with
the projections first: for eight heads and seven tokens that makes 56 columns a cell instead of 128. What adds the same
to all cells' scores drops out of the softmax. Transposed convolutions of 2 x 2 with stride 2 do not overlap, so they
are linear layers on cells, and only the finished masks are put in order as an image.

Results differ from `decode_with` by rounding alone; a test holds them together. For inference: made to be compiled.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sammix_core.sam.litemedsam_network import EDGE_TO_CENTRE


class LightDecoder(nn.Module):
    """Prompt encoder and mask decoder in one; shares the weights of its modules.

    Args:
        prompt_encoder: LiteMedSAM's, or a trained copy.
        mask_decoder: Likewise.
    """

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        super().__init__()
        self.prompts = prompt_encoder
        self.decoder = mask_decoder

    def forward(
        self,
        embeddings: torch.Tensor,
        boxes: torch.Tensor,
        mask_logits: torch.Tensor,
        prompted: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decodes a batch.

        Args:
            embeddings: (n, 256, h, w).
            boxes: (n, 4) XYXY edges in network pixels, float32.
            mask_logits: (n, 1, 4h, 4w).
            prompted: (n, 1, 1, 1), 1 or 0: whether the mask prompt counts; None for all.

        Returns:
            Mask logits (n, 3, 4h, 4w) and scores (n, 3).
        """
        sparse, dense = self.prompts(points=None, boxes=boxes - EDGE_TO_CENTRE, masks=mask_logits)
        if prompted is not None:
            dense = torch.where(prompted > 0, dense, self.prompts.no_mask_embed.weight.reshape(1, -1, 1, 1))
        return self.of_cells(embeddings + dense, sparse)

    def of_cells(self, image: torch.Tensor, sparse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Decodes embeddings with the dense prompt already added.

        Args:
            image: (n, 256, h, w), embeddings and dense prompt together.
            sparse: (n, tokens, 256) of boxes and clicks.

        Returns:
            See `forward`.
        """
        decoder, transformer = self.decoder, self.decoder.transformer
        output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(sparse.shape[0], -1, -1), sparse], dim=1)
        position = self.prompts.get_dense_pe().flatten(2).transpose(1, 2)
        cells = image.flatten(2).transpose(1, 2)
        queries = tokens
        for layer in transformer.layers:
            queries, cells = _layer(layer, queries, cells, tokens, position)
        attended = _tokens_see_cells(transformer.final_attn_token_to_image, queries + tokens, cells, position)
        queries = transformer.norm_final_attn(queries + attended)
        scores = decoder.iou_prediction_head(queries[:, 0])[:, 1:]
        single = queries[:, 1]
        weights = torch.stack([network(single) for network in decoder.output_hypernetworks_mlps[1:]], dim=1)
        return self._masks(cells, weights, image.shape[-1]), scores

    def _masks(self, cells: torch.Tensor, weights: torch.Tensor, width: int) -> torch.Tensor:
        """(n, cells, 256) and (n, 3, channels) to (n, 3, 4h, 4w)."""
        first, norm, act, second, last_act = self.decoder.output_upscaling
        value = act(_channels_normed(norm, _quartered(first, cells)))
        value = last_act(_quartered(second, value)).flatten(1, 3)
        masks = value @ weights.transpose(1, 2)
        height = cells.shape[1] // width
        # (n, row, column, row and column of four, row and column of four in these, mask)
        parts = masks.unflatten(1, (height, width, 2, 2, 2, 2)).permute(0, 7, 1, 3, 5, 2, 4, 6)
        return parts.reshape(masks.shape[0], masks.shape[2], 4 * height, 4 * width)


def _layer(
    layer: Any, queries: torch.Tensor, cells: torch.Tensor, tokens: torch.Tensor, position: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """SAM's two-way attention block."""
    if layer.skip_first_layer_pe:
        queries = layer.self_attn(q=queries, k=queries, v=queries)
    else:
        query_tokens = queries + tokens
        queries = queries + layer.self_attn(q=query_tokens, k=query_tokens, v=queries)
    queries = layer.norm1(queries)
    queries = layer.norm2(
        queries + _tokens_see_cells(layer.cross_attn_token_to_image, queries + tokens, cells, position)
    )
    queries = layer.norm3(queries + layer.mlp(queries))
    attended = _cells_see_tokens(layer.cross_attn_image_to_token, cells, position, queries + tokens, queries)
    return queries, layer.norm4(cells + attended)


def _heads(attention: Any, projected: torch.Tensor) -> torch.Tensor:
    """(n, tokens, inner) -> (n, heads, tokens, inner / heads)."""
    return projected.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)


def _by_head(attention: Any, weight: torch.Tensor) -> torch.Tensor:
    """(inner, channels) -> (heads, inner / heads, channels)."""
    return weight.unflatten(0, (attention.num_heads, -1))


def _tokens_see_cells(
    attention: Any, query_tokens: torch.Tensor, cells: torch.Tensor, position: torch.Tensor
) -> torch.Tensor:
    """Attention of tokens (n, t, c) to cells (n, m, c); the keys' bias adds the same to every cell and drops out."""
    query = _heads(attention, attention.q_proj(query_tokens))
    share = 1 / math.sqrt(query.shape[-1])
    on_cells = (query @ _by_head(attention, attention.k_proj.weight) * share).flatten(1, 2)
    weights = torch.softmax(on_cells @ (cells + position).transpose(1, 2), dim=-1)
    attended = (weights @ cells).unflatten(1, (attention.num_heads, -1))
    value = attended @ _by_head(attention, attention.v_proj.weight).transpose(1, 2)
    return attention.out_proj(value.transpose(1, 2).flatten(2) + attention.v_proj.bias)


def _cells_see_tokens(
    attention: Any, cells: torch.Tensor, position: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Attention of cells (n, m, c) to tokens (n, t, c)."""
    key, value = _heads(attention, attention.k_proj(keys)), _heads(attention, attention.v_proj(values))
    share = 1 / math.sqrt(key.shape[-1])
    on_cells = (key @ _by_head(attention, attention.q_proj.weight) * share).flatten(1, 2)
    bias = (key @ attention.q_proj.bias.unflatten(0, (attention.num_heads, -1, 1)) * share).flatten(1)
    scores = (cells + position) @ on_cells.transpose(1, 2) + bias[:, None]
    weights = torch.softmax(scores.unflatten(2, (attention.num_heads, -1)), dim=-1).flatten(2)
    outwards = attention.out_proj.weight.t().unflatten(0, (attention.num_heads, -1))
    return weights @ (value @ outwards).flatten(1, 2) + attention.out_proj.bias


def _quartered(layer: Any, cells: torch.Tensor) -> torch.Tensor:
    """A transposed convolution of 2 x 2 with stride 2 as a linear layer: (..., c) -> (..., 4, out)."""
    channels = layer.weight.shape[1]
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return functional.linear(cells, weight, layer.bias.repeat(4)).unflatten(-1, (4, channels))


def _channels_normed(norm: Any, value: torch.Tensor) -> torch.Tensor:
    """SAM's norm over channels, which lie last here."""
    return functional.layer_norm(value, value.shape[-1:], norm.weight, norm.bias, norm.eps)
