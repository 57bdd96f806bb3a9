"""segment-anything's own network, small enough for a test, in place of ViT-B, and published weights of it."""

from __future__ import annotations

import hashlib
import importlib
import io
from dataclasses import replace

import pytest
import torch

from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS, ThirdPartyWeights

# The package has a function of the same name, which hides the module from an ordinary import.
build_sam = importlib.import_module("segment_anything.build_sam")


def small_sam() -> torch.nn.Module:
    """SAM at 1024 x 1024 with two blocks of 16 channels."""
    return build_sam._build_sam(
        encoder_embed_dim=16, encoder_depth=2, encoder_num_heads=2, encoder_global_attn_indexes=[1]
    )


def checkpoint(seed: int = 0) -> bytes:
    """A file as PyTorch writes it, with random weights."""
    torch.manual_seed(seed)
    file = io.BytesIO()
    torch.save(small_sam().state_dict(), file)
    return file.getvalue()


def publish(patch: pytest.MonkeyPatch, name: str, content: bytes, address: str) -> ThirdPartyWeights:
    """Makes SAMMix believe that these are the weights of that name, and that the small network is SAM's ViT-B."""
    weights = replace(
        THIRD_PARTY_WEIGHTS[name],
        address=address,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    patch.setitem(THIRD_PARTY_WEIGHTS, name, weights)
    patch.setitem(build_sam.sam_model_registry, "vit_b", small_sam)
    return weights
