"""The maps of the moment."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sammix_core.guidance.resnet38_cam import default_boxes
from sammix_core.training.semi_supervised.guides import EmbeddingGuide, ResNetGuide


@pytest.mark.parametrize("guide", [EmbeddingGuide(), ResNetGuide(0.0625)], ids=["embedding_cam", "resnet38"])
def test_maps_are_those_of_this_moment_and_leave_no_trace(guide: EmbeddingGuide | ResNetGuide) -> None:
    images, embeddings = torch.rand(2, 1, 64, 64), torch.randn(2, 256, 16, 16)
    guide.train()
    before = guide.maps(images, embeddings)
    assert all(p.grad is None and p.requires_grad for p in guide.parameters())
    assert guide.training
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    assert not np.allclose(before.cam_logits, guide.maps(images, embeddings).cam_logits)


def test_resnet_boxes_go_round_whole_cells() -> None:
    assert ResNetGuide(0.0625).boxes == default_boxes()
