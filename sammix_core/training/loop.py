"""The steps that every training here takes: resumable, averaged, cancelled without loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn

from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.training.ahead import ahead
from sammix_core.training.averaging import average_into
from sammix_core.training.checkpoint import load_checkpoint, save_checkpoint, saved_when_stopped

# Told how many steps are done, the loss of the last one, and the average network as it is now.
OnStep = Callable[[int, float, nn.Module], None]


@dataclass(frozen=True)
class Pace:
    """How long, and how carefully.

    Attributes:
        steps: Optimiser steps.
        average_after: Steps after which weights are averaged.
        largest_gradient: Norm that gradients are clipped to.
        checkpoint_steps: A checkpoint is written each time that so many steps are done, and after the last.
    """

    steps: int
    average_after: int
    largest_gradient: float
    checkpoint_steps: int


def train_steps(
    trained: nn.Module,
    average: nn.Module,
    parts: Mapping[str, Any],
    batch: Callable[[int], tuple[torch.Tensor, ...]],
    loss_of: Callable[..., torch.Tensor],
    pace: Pace,
    fabric: Fabric,
    checkpoint: Path,
    label: str,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
    on_step: OnStep | None = None,
    enough: Callable[[int], bool] | None = None,
) -> None:
    """Trains in place, resuming from the checkpoint to the same result.

    Args:
        trained: The network.
        average: Its running average, of the same shape.
        parts: What a checkpoint holds, by name; "optimiser" and "schedule" are stepped.
        batch: Makes a step's batch from its number alone, so that a resumed training sees the same.
        loss_of: The loss of a batch's tensors.
        pace: Steps, averaging, clipping.
        fabric: Goes backward.
        checkpoint: File that holds the state now and then, when it is stopped, and at the end.
        label: Name of the stage for progress.
        progress: Told after each step.
        cancel: Asked after each step.
        on_step: Told of each step, before progress.
        enough: Asked with the number of steps done, and again at the start of a resumed training: whether to stop.

    Raises:
        Cancelled: The user stopped; the checkpoint holds what is done.
    """
    optimiser, schedule = parts["optimiser"], parts["schedule"]
    learnt = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    start = load_checkpoint(checkpoint, parts)
    stage = ProgressReporter(label, pace.steps, progress, cancel)
    stage.step(start)
    if enough is not None and start and enough(start):
        return
    writes = fabric.is_global_zero  # of several processes one writes; the weights are the same in all
    for step, made in ahead(batch, start, pace.steps):
        loss = loss_of(*made)
        optimiser.zero_grad()
        fabric.backward(loss)
        torch.nn.utils.clip_grad_norm_(learnt, pace.largest_gradient)
        optimiser.step()
        schedule.step()
        average_into(average, trained, step - pace.average_after)
        stop = enough is not None and enough(step + 1)
        if (step + 1) % pace.checkpoint_steps == 0 or step + 1 == pace.steps or stop:
            if writes:
                save_checkpoint(checkpoint, step + 1, parts)
            fabric.barrier()
        with saved_when_stopped(checkpoint, step + 1, parts) if writes else nullcontext():
            if on_step is not None:
                on_step(step + 1, loss.item(), average)
            stage.step()
        if stop:
            return
