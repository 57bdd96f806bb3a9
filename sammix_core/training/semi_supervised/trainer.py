"""Trains a `SamMix` network: warm-up of the guidance, then everything together, until early stopping ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.fabric import Fabric

from sammix_core.sam import lora
from sammix_core.training.context import TrainingContext
from sammix_core.training.interpolation import Shares
from sammix_core.training.loop import LoopSettings, RatedParameters, one_cycle, train_steps
from sammix_core.training.semi_supervised.bank import Bank
from sammix_core.training.semi_supervised.draws import Draws
from sammix_core.training.semi_supervised.early_stopping import HeldBackRule, held_back_slices
from sammix_core.training.semi_supervised.fabric import shared_cancel
from sammix_core.training.semi_supervised.network import SamMix
from sammix_core.training.semi_supervised.settings import SamMixTraining
from sammix_core.training.semi_supervised.split import Split

_MAX_GRADIENT_NORM = 5.0


@dataclass(frozen=True)
class Outcome:
    """What a training gives.

    Attributes:
        network: The best network, averaged, on the CPU, in eval mode.
        dice: Its Dice on the held-back slices.
        step: After how many steps it was there.
        slices: How many slices of each kind it was trained on.
        shares: How far the weights went from those at the end of the warm-up, where that was chosen.
    """

    network: SamMix
    dice: float
    step: int
    slices: dict[str, int]
    shares: Shares | None = None


def train_sammix(
    base: Any,
    banks: Sequence[Bank],
    split: Split,
    settings: SamMixTraining,
    fabric: Fabric,
    context: TrainingContext,
) -> Outcome:
    """Trains, resuming from the checkpoint to the same result.

    Args:
        base: LiteMedSAM's network with its base weights; it is not changed.
        banks: The views of all cases.
        split: Who is held back.
        settings: How.
        fabric: Launched; its precision, device and processes are used.
        context: Checkpoint, seed, progress; its runtime is not used.

    Raises:
        InputError: Slices of a kind that is needed are not there.
        Cancelled: The user stopped; the checkpoint holds what is done.
    """
    torch.manual_seed(context.seed)
    network = SamMix(base, settings)
    draws = Draws(banks, split, settings, context.seed, fabric.global_rank)
    stopping = HeldBackRule(held_back_slices(banks, split), settings, fabric.device)
    network.to(fabric.device)
    learning = one_cycle(_rated(network, settings), settings.weight_decay, settings.steps)
    network.train()
    joint = fabric.setup_module(network)

    def loss_of(*tensors: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = joint(*(tensor.to(fabric.device) for tensor in tensors))
        return loss

    loop = LoopSettings(settings.steps, settings.warm_up // 2, _MAX_GRADIENT_NORM, settings.check_every)
    context = replace(context, runtime=fabric, cancel=shared_cancel(fabric, context.cancel))
    average: SamMix = train_steps(network, learning, draws.batch, loss_of, loop, context, stopping, network.follow)
    stopping.restore(average)
    shares = stopping.go_back(average.eval()) if settings.interpolate else None
    return Outcome(average.cpu().eval(), stopping.best, stopping.best_step, draws.counts(), shares)


def _rated(network: SamMix, settings: SamMixTraining) -> list[RatedParameters]:
    """Parameters that learn, each part at its own rate."""
    guides = [*network.guide.parameters(), *network.fold_guides.parameters()]
    parts: list[RatedParameters] = [(guides, settings.guidance_rate)]
    if settings.train_decoder:
        parts.append((network.decoder.parameters(), settings.decoder_rate))
    if network.encoder is not None:
        parts.append((lora.lora_parameters(network.encoder).values(), settings.lora_rate))
    return parts
