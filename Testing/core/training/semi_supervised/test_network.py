"""What learns in a step of SAM-Mix, and what every weight of its loss weighs."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from guidance_maps import a_map
from torch.nn import functional
from training_cases import QuickLiteMedSam, StubEncoder

from sammix_core.guidance.base import GuidanceMaps
from sammix_core.training.checkpoint import TrainableState
from sammix_core.training.semi_supervised.guides import EmbeddingGuide
from sammix_core.training.semi_supervised.network import NO_FOLD, Batch, SamMix
from sammix_core.training.semi_supervised.settings import SamMixTraining

pytestmark = pytest.mark.slow


CPU = torch.device("cpu")


def test_the_share_that_is_trained(quick: QuickLiteMedSam) -> None:
    head, decoder, everything = 829_715, 4_064_560, 9_791_300
    trained, total = SamMix(quick.network, SamMixTraining()).trainable_share()
    assert (trained, total) == (head + decoder, everything + head)
    frozen, _ = SamMix(quick.network, SamMixTraining(train_decoder=False)).trainable_share()
    assert frozen == head
    with_lora, more = SamMix(quick.network, SamMixTraining(lora_rank=8)).trainable_share()
    assert (with_lora - trained, more - total) == (59_392, 59_392)


def a_batch(step: int, unlabelled: int = 2) -> Batch:
    source = torch.Generator().manual_seed(3)
    shares = torch.zeros(3, 1, 256, 256)
    shares[:2, :, 60:160, 40:140] = 1

    def picture(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.rand(count, 1, 256, 256, generator=source)
        return images, torch.randn(count, 256, 64, 64, generator=source)

    known, weak, strong = picture(3), picture(unlabelled), picture(unlabelled)
    present = torch.tensor([1.0, 1.0, 0.0])
    kept = torch.ones(3 + unlabelled, 256, dtype=torch.bool)
    seed, folds = torch.tensor([1, step, 0]), torch.tensor([0, 1, NO_FOLD])
    neighbours = torch.randn(unlabelled, 2, 256, 64, 64, generator=source)
    plain = functional.affine_grid(torch.eye(2, 3).expand(unlabelled, 2, 3), [unlabelled, 1, 64, 64], False)
    shown = torch.ones(unlabelled)
    return Batch(*known, shares, present, *weak, *strong, shown, kept, seed, folds, neighbours, plain)


class EverySlice(EmbeddingGuide):
    """Finds the same box on every slice."""

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        one = a_map(10, 35)
        return GuidanceMaps(one.cam_logits.repeat(len(images), 0), one.probabilities.repeat(len(images)))


def gradients(network: SamMix, batch: Batch) -> tuple[float, dict[str, float]]:
    network.zero_grad()
    loss = network(*batch)
    loss.backward()
    sums: dict[str, float] = {}
    for name, parameter in network.named_parameters():
        part = name.split(".")[0]
        sums[part] = sums.get(part, 0.0) + (0.0 if parameter.grad is None else float(parameter.grad.abs().sum()))
    return loss.item(), sums


def test_the_guidance_learns_alone_until_the_warm_up_is_over(quick: QuickLiteMedSam) -> None:
    network = SamMix(quick.network, SamMixTraining(warm_up=5, decoded=1))
    network.guide = EverySlice()
    _, early = gradients(network, a_batch(4))
    assert early["guide"] > 0
    assert early["decoder"] == 0
    _, late = gradients(network, a_batch(5))
    assert late["decoder"] > 0


@pytest.mark.parametrize("weight", ["pseudo_weight", "consistency_weight", "segmentation_weight", "dice_weight"])
def test_every_weight_weighs(quick: QuickLiteMedSam, weight: str) -> None:
    settings = SamMixTraining(warm_up=0, decoded=1)
    network = SamMix(quick.network, settings)
    network.guide = EverySlice()
    with torch.no_grad():
        usual = network(*a_batch(5)).item()
        network.settings = replace(settings, **{weight: 2 * getattr(settings, weight)})
        assert network(*a_batch(5)).item() > usual + 1e-5


def test_unlabelled_slices_teach_the_decoder(quick: QuickLiteMedSam) -> None:
    """Without a slice with a mask in the batch what the decoder learns comes from the two views alone."""
    network = SamMix(quick.network, SamMixTraining(warm_up=0, decoded=2))
    network.guide = EverySlice()
    batch = a_batch(5)._replace(shares=torch.zeros(3, 1, 256, 256))
    _, sums = gradients(network, batch)
    assert sums["decoder"] > 0
    _, none = gradients(network, batch._replace(unlabelled_present=torch.zeros(2)))
    assert none["decoder"] == 0, "slices known to be without the structure have no pseudo-label"


def test_lora_learns_and_the_rest_of_the_encoder_does_not() -> None:
    quick = QuickLiteMedSam(CPU)
    quick.network.image_encoder = StubEncoder()
    network = SamMix(quick.network, SamMixTraining(warm_up=0, decoded=1, lora_rank=2)).train()
    network.guide = EverySlice()
    assert not network.encoder.training
    gradients(network, a_batch(5))
    learnt = {name for name, p in network.encoder.named_parameters() if p.grad is not None}
    assert learnt
    assert all("lora_" in name for name in learnt)
    state = TrainableState(network).state_dict()
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert any(name.startswith("encoder") for name in frozen)
    assert not frozen & state.keys()


def unlabelled_gradients(network: SamMix, batch: Batch) -> dict[str, float]:
    """Gradients of what the two views teach alone."""
    network.guide = EverySlice()
    return gradients(network, batch._replace(shares=torch.zeros(3, 1, 256, 256)))[1]


def test_the_mean_teacher_makes_the_masks_that_teach(quick: QuickLiteMedSam) -> None:
    network = SamMix(quick.network, SamMixTraining(warm_up=0, decoded=2, mean_teacher=True))
    average = copy.deepcopy(network)
    average.guide = EverySlice()
    network.follow(average)
    assert sum("average" in name for name, _ in network.named_parameters()) == 0
    with torch.no_grad():
        for parameter in average.decoder.parameters():
            parameter.add_(0.01)
    own = unlabelled_gradients(SamMix(quick.network, SamMixTraining(warm_up=0, decoded=2)), a_batch(5))
    taught = unlabelled_gradients(network, a_batch(5))
    assert taught["decoder"] > 0
    assert taught["decoder"] != own["decoder"]
    assert all(p.grad is None for p in average.parameters()), "the teacher learns nothing"


def test_where_the_neighbours_show_nothing_no_pixel_of_the_structure_counts(quick: QuickLiteMedSam) -> None:
    network = SamMix(quick.network, SamMixTraining(warm_up=0, decoded=2, agreement=True))
    network.guide = EverySlice()
    batch = a_batch(5)
    with torch.no_grad():
        beside = network(*batch).item()
        network.maps_of_neighbours = lambda *_: torch.full((2, 2, 64, 64), -4.0)  # type: ignore[method-assign]
        assert network(*batch).item() != pytest.approx(beside, abs=1e-6)


def test_neighbours_are_seen_where_the_view_shows_them(quick: QuickLiteMedSam) -> None:
    network = SamMix(quick.network, SamMixTraining())
    network.guide = EverySlice()  # cells 10 to 35 of each neighbour
    moved = functional.affine_grid(torch.tensor([[[1.0, 0, 0.25], [0, 1.0, 0]]]), [1, 1, 64, 64], False)
    neighbours = torch.randn(1, 2, 256, 64, 64)
    neighbours[0, 1] = torch.nan
    maps = network.maps_of_neighbours(neighbours, moved)
    columns = torch.nonzero((maps[0, 0] > 0).any(0))[:, 0]
    assert (columns.min().item(), columns.max().item()) == (2, 26), "the view shows what lies 8 cells to the right"
    assert torch.isnan(maps[0, 1]).all()


@pytest.mark.parametrize("weight", ["multiple_instance_weight", "along_z_weight"])
def test_a_weight_that_is_off_by_default_weighs(quick: QuickLiteMedSam, weight: str) -> None:
    network = SamMix(quick.network, SamMixTraining(warm_up=0, decoded=1))
    network.guide = EverySlice()
    with torch.no_grad():
        usual = network(*a_batch(5)).item()
        network.settings = replace(network.settings, **{weight: 1.0})
        assert network(*a_batch(5)).item() > usual + 1e-5


def test_fold_heads_prompt_the_slices_whose_masks_they_do_not_learn(quick: QuickLiteMedSam) -> None:
    network = SamMix(quick.network, SamMixTraining(warm_up=5, decoded=2, fold_heads=2))
    assert network.trainable_share() == SamMix(quick.network, SamMixTraining()).trainable_share()
    first = a_batch(4)
    first.embeddings.requires_grad_()
    gradients(network, first._replace(folds=torch.tensor([0, 0, 0])))
    learnt = [any(p.grad is not None and p.grad.any() for p in guide.parameters()) for guide in network.fold_guides]
    assert learnt == [False, True], "the first head lacks its own slices"
    network.fold_guides[0] = EverySlice()
    images, embeddings = torch.rand(2, 1, 256, 256), torch.zeros(2, 256, 64, 64)
    maps = network._maps_of_labelled(images, embeddings, torch.tensor([1, 0]))
    assert (maps.cam_logits[1] > 0).any()
    assert not np.array_equal(maps.cam_logits[0], maps.cam_logits[1])
