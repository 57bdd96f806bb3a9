"""Early stopping keeps the best."""

from __future__ import annotations

import pytest
import torch
from training_cases import QuickLiteMedSam

from sammix_core.training.interpolation import Shares
from sammix_core.training.semi_supervised import early_stopping
from sammix_core.training.semi_supervised.early_stopping import EarlyStopping, HeldBackRule
from sammix_core.training.semi_supervised.network import SamMix
from sammix_core.training.semi_supervised.settings import SamMixTraining

pytestmark = pytest.mark.slow


CPU = torch.device("cpu")


def test_early_stopping_keeps_the_best_and_goes_on_where_it_was(quick: QuickLiteMedSam) -> None:
    network = SamMix(quick.network, SamMixTraining(train_decoder=False))
    weight = network.guide.head.map.bias

    def record(early: EarlyStopping, step: int, dice: float) -> bool:
        with torch.no_grad():
            weight.fill_(step)
        early.record(step, dice, network)
        return early.stopped

    early = EarlyStopping(2)
    assert not record(early, 10, 0.5)
    assert not record(early, 20, 0.8)
    assert not record(early, 30, 0.7)
    again = EarlyStopping(2)
    again.load_state_dict(early.state_dict())
    assert (again.last, again.best_step) == (30, 20)
    assert record(again, 40, 0.8), "no gain twice"
    again.restore(network)
    assert weight.item() == 40, "of equals the later one"


def test_weights_go_back_to_the_end_of_the_warm_up_where_more_does_not_pay(
    quick: QuickLiteMedSam, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = SamMix(quick.network, SamMixTraining())
    head, decoder = network.guide.head.map.bias, next(network.decoder.parameters())
    before = decoder.detach().clone()
    rule = HeldBackRule([], SamMixTraining(warm_up=10), CPU)
    rule.record(10, 0.5, network)
    with torch.no_grad():
        head.add_(1.0)
        decoder.add_(1.0)
    rule.record(20, 0.6, network)
    again = HeldBackRule([], SamMixTraining(warm_up=10), CPU)
    again.load_state_dict(rule.state_dict())
    start = (head.item() - 1.0, before.mean().item())

    def dice(network: SamMix, *_: object) -> float:
        """The head pays half of the way, the decoder does harm."""
        moved = decoder.mean().item() - start[1]
        return 0.5 + 0.1 * min(0.5, head.item() - start[0]) - 0.1 * moved

    monkeypatch.setattr(early_stopping, "held_back_dice", dice)
    assert again.go_back(network) == Shares(0.5, 0.0)
    assert torch.equal(decoder, before), "LiteMedSAM's own"
    assert head.item() == pytest.approx(start[0] + 0.5)
    assert again.best == pytest.approx(0.55)
