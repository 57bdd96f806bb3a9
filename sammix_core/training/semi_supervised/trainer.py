"""Trains a `SamMix` network: warm-up of the guidance, then everything together, until the held-back slices say stop."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.sam import lora
from sammix_core.training.loop import Pace, train_steps
from sammix_core.training.one_cycle import Learning, one_cycle
from sammix_core.training.semi_supervised.bank import Bank
from sammix_core.training.semi_supervised.draws import Draws
from sammix_core.training.semi_supervised.fabric import shared_cancel
from sammix_core.training.semi_supervised.held_back import EarlyStopping, chosen_slices, held_back_dice
from sammix_core.training.semi_supervised.network import LearntState, SamMix
from sammix_core.training.semi_supervised.section import SamMixTraining
from sammix_core.training.semi_supervised.split import Split

_LARGEST_GRADIENT = 5.0


@dataclass(frozen=True)
class Outcome:
    """What a training gives.

    Attributes:
        network: The best network, averaged, on the CPU, in eval mode.
        dice: Its Dice on the held-back slices.
        step: After how many steps it was there.
        slices: How many slices of each kind it was trained on.
    """

    network: SamMix
    dice: float
    step: int
    slices: dict[str, int]


def train_sammix(
    base: Any,
    banks: Sequence[Bank],
    split: Split,
    settings: SamMixTraining,
    seed: int,
    fabric: Fabric,
    checkpoint: Path,
    label: str,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> Outcome:
    """Trains, resuming from the checkpoint to the same result.

    Args:
        base: LiteMedSAM's network with its base weights; it is not changed.
        banks: The views of all cases.
        split: Who is held back.
        settings: How.
        seed: Of weights and draws.
        fabric: Launched; its precision, device and processes are used.
        checkpoint: File that holds the state at each look, when it is stopped, and at the end.
        label: Name of the stage for progress.
        progress: Told after each step.
        cancel: Asked after each step.

    Raises:
        InputError: Slices of a kind that is needed are not there.
        Cancelled: The user stopped; the checkpoint holds what is done.
    """
    torch.manual_seed(seed)
    network = SamMix(base, settings)
    draws = Draws(banks, split, settings, seed, fabric.global_rank)
    held = chosen_slices(banks, split)
    network.to(fabric.device)
    average = copy.deepcopy(network).eval()
    early = EarlyStopping(settings.patience)
    parts = {
        "network": LearntState(network),
        "average": LearntState(average),
        "early": early,
        **one_cycle(_rated(network, settings), settings.weight_decay, settings.steps),
    }
    network.train()
    joint = fabric.setup_module(network)

    def loss_of(*tensors: torch.Tensor) -> torch.Tensor:
        return joint(*(tensor.to(fabric.device) for tensor in tensors))

    def enough(done: int) -> bool:
        past = done - settings.warm_up
        due = past >= 0 and (past % settings.check_every == 0 or done == settings.steps)
        if due and done > early.last:  # a resumed training begins where there was a look
            early.look(done, held_back_dice(average, held, fabric.device), average)
        return early.stopped

    train_steps(
        network,
        average,
        parts,
        draws.batch,
        loss_of,
        Pace(settings.steps, settings.warm_up // 2, _LARGEST_GRADIENT, settings.check_every),
        fabric,
        checkpoint,
        label,
        progress,
        shared_cancel(fabric, cancel),
        enough=enough,
    )
    early.restore(average)
    return Outcome(average.cpu().eval(), early.best, early.best_step, draws.counts())


def _rated(network: SamMix, settings: SamMixTraining) -> list[Learning]:
    """Parameters that learn, each part at its own rate."""
    parts: list[Learning] = [(network.guide.parameters(), settings.guidance_rate)]
    if settings.train_decoder:
        parts.append((network.decoder.parameters(), settings.decoder_rate))
    if network.encoder is not None:
        parts.append((lora.lora_parameters(network.encoder).values(), settings.lora_rate))
    return parts
