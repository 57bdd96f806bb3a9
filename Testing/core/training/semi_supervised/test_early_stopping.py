"""Early stopping keeps the best."""

from __future__ import annotations

import pytest
import torch
from training_cases import QuickLiteMedSam

from sammix_core.training.semi_supervised.early_stopping import EarlyStopping
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
