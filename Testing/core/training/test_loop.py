"""The loop of all trainings: averaging, resuming, early stopping, and what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sammix_core.errors import Cancelled
from sammix_core.training.checkpoint import TrainableState
from sammix_core.training.context import HALF_PRECISION, LocalRuntime, TrainingContext
from sammix_core.training.loop import Learning, LoopSettings, one_cycle, train_steps


class Counter(nn.Module):
    """Its weight falls by 1 a step: the loss is the weight, and SGD has a rate of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("seen", torch.zeros(1))

    def forward(self) -> torch.Tensor:
        self.seen += 1
        return self.weight.sum()


def learning_of(network: nn.Module, rate: float = 1.0) -> Learning:
    optimiser = torch.optim.SGD(network.parameters(), lr=rate)
    return Learning(optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0))


def train(path: Path, steps: int, average_after: int = 0, stopping: Any = None, **context: Any) -> tuple[Counter, Any]:
    network = Counter()
    average = train_steps(
        network,
        learning_of(network),
        lambda step: (),
        network,
        LoopSettings(steps, average_after, 10.0, checkpoint_every=3),
        TrainingContext("test", path, **context),
        stopping,
    )
    return network, average


def test_the_average_is_a_copy_at_first_and_forgets_slowly(tmp_path: Path) -> None:
    averages: list[float] = []
    network, average = train(
        tmp_path / "a.pt", 8, average_after=4, on_step=lambda _, __, module: averages.append(module.weight.item())
    )
    assert network.weight.item() == -8
    assert averages[:5] == [-1, -2, -3, -4, -5]
    expected = -5.0
    for step, weight in ((1, -6), (2, -7), (3, -8)):
        keep = step / (step + 10)
        expected = keep * expected + (1 - keep) * weight
        assert averages[4 + step] == pytest.approx(expected)
    assert isinstance(average, Counter)
    assert average.seen.item() == 8, "buffers are copied"


def test_a_stopped_training_resumes_with_its_average(tmp_path: Path) -> None:
    _, whole = train(tmp_path / "whole.pt", 9, average_after=2)
    steps: list[int] = []
    with pytest.raises(Cancelled):
        train(
            tmp_path / "parts.pt",
            9,
            average_after=2,
            cancel=lambda: len(steps) >= 5,
            on_step=lambda step, *_: steps.append(step),
        )
    _, parts = train(tmp_path / "parts.pt", 9, average_after=2, on_step=lambda step, *_: steps.append(step))
    assert steps == list(range(1, 10)), "no step is taken twice"
    assert parts.weight.item() == whole.weight.item()


class AtStep:
    """Stops at a step and counts how often it was called."""

    def __init__(self, step: int) -> None:
        self.step, self.calls = step, 0

    def __call__(self, steps_done: int, average: nn.Module) -> bool:
        self.calls += 1
        return steps_done >= self.step

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.calls = state["calls"]


def test_a_stopping_rule_ends_the_training_and_is_kept(tmp_path: Path) -> None:
    first = AtStep(4)
    network, _ = train(tmp_path / "a.pt", 9, stopping=first)
    assert (network.weight.item(), first.calls) == (-4, 4)
    again = AtStep(4)
    network, average = train(tmp_path / "a.pt", 9, stopping=again)
    assert (network.weight.item(), again.calls) == (-4, 5), "nothing is trained any more"
    assert average.seen.item() == 4


def test_a_checkpoint_holds_no_frozen_weights() -> None:
    network = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.BatchNorm1d(2))
    state = TrainableState(network)
    assert sorted(state.state_dict()) == [
        "1.bias",
        "1.num_batches_tracked",
        "1.running_mean",
        "1.running_var",
        "1.weight",
    ]
    before = {name: tensor.clone() for name, tensor in state.state_dict().items()}
    frozen = network[0].weight.clone()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.add_(1)
    state.load_state_dict(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.state_dict().items())
    assert torch.equal(network[0].weight, frozen + 1)


def test_gradients_are_clipped_over_all_parameters_together() -> None:
    network = nn.Linear(2, 1)
    optimiser = learning_of(network).optimiser
    runtime = LocalRuntime()
    runtime.backward(network(torch.tensor([[30.0, 40.0]])).sum())
    runtime.clip_gradients(network, optimiser, max_norm=1.0, error_if_nonfinite=False)
    norm = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(1.0, rel=1e-4)


def test_half_precision_is_bfloat16() -> None:
    layer, images = nn.Linear(2, 2), torch.ones(1, 2)
    with LocalRuntime(HALF_PRECISION).autocast():
        assert layer(images).dtype == torch.bfloat16
    with LocalRuntime().autocast():
        assert layer(images).dtype == torch.float32


def test_rates_rise_and_fall_in_one_cycle() -> None:
    fast, slow = nn.Linear(1, 1), nn.Linear(1, 1)
    learning = one_cycle([(fast.parameters(), 1e-2), (slow.parameters(), 1e-3)], 0.0, 20)
    rates = []
    for _ in range(20):
        rates.append([group["lr"] for group in learning.optimiser.param_groups])
        learning.optimiser.step()
        learning.schedule.step()
    peaks = [max(column) for column in zip(*rates, strict=True)]
    assert peaks == pytest.approx([1e-2, 1e-3])
    assert rates[0][0] < 0.1 * peaks[0]
    assert rates[-1][0] < 0.1 * peaks[0]
