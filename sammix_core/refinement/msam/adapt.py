"""LoRA on query and value of the image encoder, and which parts of an M-SAM are trained.

The published weights hold query, key and value of a block in one layer. It is split, so that query and value get
matrices of their own and the key none, as in M-SAM.
"""

from __future__ import annotations

import torch
from torch import nn

from sammix_core.refinement.msam.image_encoder import ImageEncoder
from sammix_core.refinement.msam.layers import RelativeAttention
from sammix_core.refinement.msam.network import MSam
from sammix_core.sam import lora

RANK = 4
_ADAPTED = ("q", "v")


class SplitQkv(nn.Module):
    """The layer for query, key and value split into three, with the same results."""

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        weights, biases = fused.weight.chunk(3), fused.bias.chunk(3)
        for name, weight, bias in zip("qkv", weights, biases, strict=True):
            layer = nn.Linear(weight.shape[1], len(weight), device="meta")
            layer.weight, layer.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
            self.add_module(name, layer)

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """(..., channels) to (..., 3 channels)."""
        return torch.cat([self.get_submodule(name)(cells) for name in "qkv"], dim=-1)


def split_qkv(encoder: ImageEncoder) -> None:
    """Splits the layers of an encoder without LoRA, in place."""
    for module in encoder.modules():
        if isinstance(module, RelativeAttention):
            module.qkv = SplitQkv(module.qkv)  # type: ignore[assignment]


def train_with_lora(network: MSam, rank: int = RANK) -> None:
    """Freezes the image encoder except LoRA; prompt encoder, decoder and adapter are trained.

    Args:
        network: Without LoRA.
        rank: Of the matrices.

    Raises:
        InputError: peft is not installed.
    """
    split_qkv(network.sam.image_encoder)
    lora.inject(network.sam.image_encoder, rank, _ADAPTED)


def merge_lora(network: MSam, state: dict[str, torch.Tensor]) -> None:
    """Merges trained LoRA matrices into the image encoder of a network without LoRA.

    Raises:
        InputError: The matrices are those of another encoder.
    """
    split_qkv(network.sam.image_encoder)
    lora.merge(network.sam.image_encoder, state)
