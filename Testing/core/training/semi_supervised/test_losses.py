"""The losses of SAM-Mix's training react."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from sammix_core.training.semi_supervised.losses import (
    agreed,
    between_loss,
    class_loss,
    consistency_loss,
    multiple_instance_loss,
    pseudo_loss,
)


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


def signs(*rows: str) -> torch.Tensor:
    """(1, 1, h, w) logits: + is the structure, - is not."""
    return torch.tensor([[4.0 if sign == "+" else -4.0 for sign in row] for row in rows])[None, None]


def test_pixels_count_where_mask_box_map_and_neighbours_agree() -> None:
    masks, maps = signs("++++-", "-----"), signs("+++-+", "-----")
    below, above = signs("+----", "-----"), signs("-++++", "-----")
    box = torch.tensor([[1.0, 0.0, 5.0, 2.0]])
    both = torch.cat([below, above], 1)
    # The first pixel lies outside the box; of the fourth and fifth the map says otherwise.
    assert agreed(masks, box, maps, both)[0, 0, 0].tolist() == [False, True, True, False, False]
    assert agreed(masks, box, maps, both)[0, 0, 1].all(), "what none of them shows counts"
    nothing_above = torch.cat([below, torch.full_like(above, torch.nan)], 1)
    assert agreed(masks, box, maps, nothing_above)[0, 0, 0].tolist() == [False] * 5
    alone = torch.full_like(both, torch.nan)
    assert agreed(masks, box, maps, alone)[0, 0, 0].tolist() == [False, True, True, False, False]


def test_pixels_that_do_not_count_teach_nothing() -> None:
    weak, counted = torch.tensor([4.0, 4.0]), torch.tensor([True, False])
    for loss in (lambda s: pseudo_loss(weak, s, 0.7, counted), lambda s: consistency_loss(weak, s, counted)):
        strong = torch.zeros(2, requires_grad=True)
        loss(strong).backward()
        assert strong.grad is not None
        assert strong.grad[0] < 0
        assert strong.grad[1] == 0


def test_a_slice_between_two_that_are_sure_is_the_same() -> None:
    neighbours = torch.tensor([[4.0, 4.0, -4.0, 4.0], [4.0, -4.0, -4.0, 0.1]]).view(1, 2, 1, 4)
    maps = torch.zeros(1, 1, 1, 4, requires_grad=True)
    between_loss(maps, neighbours, 0.7).backward()
    assert maps.grad is not None
    assert maps.grad.flatten().tolist() == pytest.approx([-0.25, 0.0, 0.25, 0.0])
    assert between_loss(maps, torch.full((1, 2, 1, 4), torch.nan), 0.7).item() == 0


def test_an_image_level_label_lifts_the_strongest_cells_and_lowers_the_weakest_half() -> None:
    maps = torch.linspace(-1, 1, 400).view(1, 1, 20, 20).repeat(2, 1, 1, 1).requires_grad_()
    multiple_instance_loss(maps, torch.tensor([1.0, float("nan")])).backward()
    assert maps.grad is not None
    gradient = maps.grad.flatten(1)
    assert (gradient[0, -2:] < 0).all()
    assert (gradient[0, :200] > 0).all()
    assert (gradient[0, 200:-2] == 0).all()
    assert (gradient[1] == 0).all(), "nothing is known of it"
