"""What learns in a step of SAM-Mix, and what every weight of its loss weighs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from guidance_maps import a_map
from training_cases import QuickLiteMedSam, StubEncoder

from sammix_core.guidance.base import GuidanceMaps
from sammix_core.training.checkpoint import TrainableState
from sammix_core.training.semi_supervised.guides import EmbeddingGuide
from sammix_core.training.semi_supervised.network import Batch, SamMix
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
    return Batch(*known, shares, present, *weak, *strong, torch.ones(unlabelled), kept, torch.tensor([1, step, 0]))


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
