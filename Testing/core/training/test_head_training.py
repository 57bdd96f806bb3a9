"""The head's loss falls towards the label."""

from __future__ import annotations

import torch
from training_views import logits_of, square

from sammix_core.training.head_training import head_loss


def test_the_heads_loss_falls_towards_the_label() -> None:
    share = square(16)
    losses = [float(head_loss(logits_of(side), torch.tensor([4.0]), share)) for side in (16, 12, 4)]
    assert losses == sorted(losses)
    assert losses[0] < 0.1
    assert float(head_loss(logits_of(16), torch.tensor([-4.0]), share)) > losses[0] + 1


def test_a_slice_without_the_structure_has_a_loss_too() -> None:
    empty = torch.zeros(1, 1, 32, 32)
    good = float(head_loss(torch.full((1, 1, 32, 32), -6.0), torch.tensor([-4.0]), empty))
    bad = float(head_loss(logits_of(12), torch.tensor([4.0]), empty))
    assert good < 0.1 < bad
