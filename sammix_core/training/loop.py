"""The loop that every training runs: resumable, averaged, and cancelled without losing a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from sammix_core.progress import ProgressReporter
from sammix_core.training.checkpoint import TrainableState, load_checkpoint, save_checkpoint, saved_when_stopped
from sammix_core.training.context import TrainingContext

T = TypeVar("T")
# Parameters that are trained, each group with the peak of its learning rate.
RatedParameters = tuple[Iterable[nn.Parameter], float]
_AVERAGE_DECAY = 0.985


@dataclass(frozen=True)
class LoopSettings:
    """How long a loop runs, and how carefully.

    Attributes:
        steps: Optimiser steps.
        average_after: Steps after which weights are averaged exponentially; before that the average is a copy.
        max_gradient_norm: Norm that gradients are clipped to.
        checkpoint_every: Steps from one checkpoint to the next; there is always one after the last step.
    """

    steps: int
    average_after: int
    max_gradient_norm: float
    checkpoint_every: int


@dataclass(frozen=True)
class Learning:
    """An optimiser and the schedule of its rates."""

    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler


class StoppingRule(Protocol):
    """Decides when a training ends before its last step; its state goes into the checkpoint."""

    def __call__(self, steps_done: int, average: nn.Module) -> bool:
        """Returns True to end the training; also called once when a training resumes."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        ...


def one_cycle(parameters: Sequence[RatedParameters], weight_decay: float, steps: int) -> Learning:
    """AdamW with rates that rise to their peak and fall to nothing (Smith, Topin, arXiv 1708.07120).

    Args:
        parameters: Groups of parameters, each with the peak of its rate.
        weight_decay: AdamW's.
        steps: Optimiser steps; 0 is taken as 1, for a training that only passes on what it began with.
    """
    groups = [{"params": list(group), "lr": rate} for group, rate in parameters]
    optimiser = torch.optim.AdamW(groups, weight_decay=weight_decay)
    rates = [rate for _, rate in parameters]
    return Learning(optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, max(1, steps)))


def train_steps(
    network: nn.Module,
    learning: Learning,
    make_batch: Callable[[int], tuple[torch.Tensor, ...]],
    loss_of: Callable[..., torch.Tensor],
    settings: LoopSettings,
    context: TrainingContext,
    stopping: StoppingRule | None = None,
    on_average: Callable[[Any], None] | None = None,
) -> Any:
    """Trains a network in place, resuming from the checkpoint to the same result.

    Args:
        network: The network.
        learning: Its optimiser and schedule.
        make_batch: Makes a step's batch from the step's number alone, so that a resumed training sees the same.
        loss_of: The loss of a batch's tensors.
        settings: Steps, averaging, clipping.
        context: Checkpoint, precision, progress.
        stopping: Ends the training early, or None to run all steps.
        on_average: Called once, before the first step, with the averaged network, which goes along with the training.

    Returns:
        The averaged network, of the same class as `network` and in the same mode.

    Raises:
        Cancelled: The user stopped; the checkpoint holds what is done.
    """
    runtime = context.runtime
    averaged = AveragedModel(network, multi_avg_fn=_exponential_average(settings.average_after))
    average = averaged.module
    if on_average is not None:
        on_average(average)
    parts = {
        "network": TrainableState(network),
        "average": TrainableState(averaged),
        "optimiser": learning.optimiser,
        "schedule": learning.schedule,
        **({} if stopping is None else {"stopping": stopping}),
    }
    start = load_checkpoint(context.checkpoint, parts)
    stage = ProgressReporter(context.label, settings.steps, context.progress, context.cancel)
    stage.step(start)
    if stopping is not None and start and stopping(start, average):
        return average
    writes = runtime.is_global_zero  # of several processes one writes; the weights are the same in all
    for step, batch in _prefetched(make_batch, start, settings.steps):
        loss = loss_of(*batch)
        learning.optimiser.zero_grad()
        runtime.backward(loss)
        runtime.clip_gradients(
            network, learning.optimiser, max_norm=settings.max_gradient_norm, error_if_nonfinite=False
        )
        learning.optimiser.step()
        learning.schedule.step()
        averaged.update_parameters(network)
        done = step + 1
        stop = stopping is not None and stopping(done, average)
        if done % settings.checkpoint_every == 0 or done == settings.steps or stop:
            if writes:
                save_checkpoint(context.checkpoint, done, parts)
            runtime.barrier()
        with saved_when_stopped(context.checkpoint, done, parts) if writes else nullcontext():
            if context.on_step is not None:
                context.on_step(done, loss.item(), average)
            stage.step()
        if stop:
            break
    return average


def _exponential_average(average_after: int) -> Callable[[Sequence[Any], Sequence[Any], Any], None]:
    """For `AveragedModel`: copies up to a step, then an average whose memory grows to some 65 steps."""

    def update(averages: Sequence[torch.Tensor], currents: Sequence[torch.Tensor], updates: torch.Tensor) -> None:
        step = int(updates) - average_after
        keep = 0.0 if step < 1 else min(_AVERAGE_DECAY, step / (step + 10))
        for average, current in zip(averages, currents, strict=True):
            average.lerp_(current, 1 - keep)

    return update


def _prefetched(make: Callable[[int], T], start: int, stop: int) -> Iterator[tuple[int, T]]:
    """Yields (step, make(step)), each made in a thread during the step before.

    Reading and noise take as long as the network otherwise; numpy and torch release the interpreter lock for both.

    >>> list(_prefetched(lambda step: step * 10, 1, 3))
    [(1, 10), (2, 20)]
    """
    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(make, start)] if start < stop else []
        for step in range(start, stop):
            batch = futures.pop().result()
            if step + 1 < stop:
                futures.append(pool.submit(make, step + 1))
            yield step, batch
