"""The losses of SAM-Mix's training react."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from sammix_core.training.semi_supervised.losses import class_loss, consistency_loss, pseudo_loss


def test_consistency_is_the_divergence_of_two_bernoulli_masks_and_has_a_gradient() -> None:
    weak, strong = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8, requires_grad=True)
    loss = consistency_loss(weak, strong)
    expected = kl_divergence(Bernoulli(logits=weak), Bernoulli(logits=strong)).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert loss.item() > 0.1
    loss.backward()
    assert strong.grad is not None
    assert strong.grad.abs().min() > 0
    assert consistency_loss(weak, weak).item() == pytest.approx(0, abs=1e-6)
    # MultiMix's own: a softmax over the one channel that there is, 1 whatever the masks.
    multimix = (torch.softmax(weak[:, :1], 1) - torch.softmax(strong[:, :1], 1)).abs().sum()
    assert multimix.item() == 0


def test_pseudo_labels_count_above_the_confidence_alone() -> None:
    weak = torch.logit(torch.tensor([0.95, 0.6, 0.05, 0.45]))
    strong = torch.zeros(4, requires_grad=True)
    pseudo_loss(weak, strong, 0.7).backward()
    assert strong.grad is not None
    # Half a pixel's gradient each: towards 1 where it is surely in, towards 0 where it is surely out.
    assert strong.grad.tolist() == pytest.approx([-0.25, 0.0, 0.25, 0.0])
    assert pseudo_loss(torch.zeros(4), torch.ones(4), 0.7).item() == 0


@pytest.mark.parametrize("focal", [False, True])
def test_slices_of_which_nothing_is_known_teach_no_class(focal: bool) -> None:
    logits = torch.zeros(3, requires_grad=True)
    class_loss(logits, torch.tensor([1.0, float("nan"), 0.0]), focal).backward()
    assert logits.grad is not None
    assert logits.grad[0] < 0 < logits.grad[2]
    assert logits.grad[1] == 0
    assert class_loss(logits, torch.full((3,), float("nan")), focal).item() == 0
