"""Trains a refiner on cached embeddings. Seeded, and resumed from its checkpoint to the same result."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from sammix_core.refinement.msam.clicks import any_point, middle_of_component
from sammix_core.refinement.msam.stages import clicks_of_stages, stage_loss
from sammix_core.refinement.network import SliceRefiner
from sammix_core.sam.light_decoder import LightDecoder
from sammix_core.training.context import TrainingContext
from sammix_core.training.loop import LoopSettings, RatedParameters, one_cycle, train_steps
from sammix_core.training.refiner_starts import own_mask, perturbed_masks, with_wrong_parts
from sammix_core.training.views import View, ViewSamples, one_component

_CHECKPOINT_EVERY = 25
_MAX_GRADIENT_NORM = 1.0
_NOISE = 0.03
_CLICK_SEED = 7_919
_ABSENT_LOGIT = -1.0  # a mask that is not there yet misses everything


@dataclass(frozen=True)
class RefinerTraining:
    """How a refiner is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Slices a step.
        refining_stages: Stages after the first one.
        learning_rate: Of the adapter.
        decoder_rate: Of what learns of prompt encoder and decoder.
        weight_decay: AdamW's.
        click_share: Share of steps that begin with a click and no mask.
        own_share: Share of the others that begin with LiteMedSAM's own mask; the rest begin with wrong edges.
        correcting_share: Share of steps whose stages each get a click from the error region; in the others masks are
            refined by themselves.
        central: Whether a click lies in the middle of a wrong region, as a person clicks, and not anywhere in it.
        wrong_part_share: Share of masks to begin from that lack a part or have one too many.
        focus: Weight in the loss of what the last mask had wrong, after a click; 0 for none.
        single: Whether one component of a slice's label is what is wanted (a lesion), and not all of it.
        least_pixels: Smaller components are none to learn from.
    """

    steps: int = 300
    batch: int = 2
    refining_stages: int = 2
    learning_rate: float = 5e-4
    decoder_rate: float = 1e-4
    weight_decay: float = 0.05
    click_share: float = 0.0
    own_share: float = 0.6
    correcting_share: float = 0.4
    central: bool = False
    wrong_part_share: float = 0.0
    focus: float = 0.0
    single: bool = False
    least_pixels: int = 8


def train_refiner(
    refiner: SliceRefiner, views: Sequence[View], settings: RefinerTraining, context: TrainingContext
) -> SliceRefiner:
    """Trains a refiner, resuming from the checkpoint to the same result.

    Args:
        refiner: Untrained; it is trained in place.
        views: What to train on.
        settings: Steps, batch, rates, stages, and what a step begins with.
        context: Checkpoint, seed, precision, progress.

    Returns:
        The averaged refiner, in eval mode.

    Raises:
        Cancelled: The user stopped; the next call resumes.
    """
    seed = context.seed
    untrained = LightDecoder(copy.deepcopy(refiner.prompt_encoder), copy.deepcopy(refiner.mask_decoder)).eval()
    learning = one_cycle(_rated(refiner, settings), settings.weight_decay, settings.steps)
    samples = ViewSamples(views, np.random.default_rng(seed))
    draws = samples.draws(settings.steps, settings.batch, positive_share=1.0)

    def make_batch(step: int) -> tuple[torch.Tensor, ...]:
        rng = np.random.default_rng([seed, step])
        embeddings, shares = samples.embeddings(draws[step]), samples.shares(draws[step])
        if settings.single:
            shares = torch.stack([one_component(share, settings.least_pixels, rng) for share in shares])
        noise = _NOISE * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(seed * 7919 + step))
        kept = (shares > 0.5).flatten(1).any(1)  # a slice whose label fills no pixel by half teaches nothing
        embeddings, shares = (embeddings + noise)[kept], shares[kept]
        way = rng.random(3)
        if not len(shares) or way[0] < settings.click_share:
            start = torch.zeros_like(shares)
        elif way[1] < settings.own_share:
            start = own_mask(untrained, embeddings, shares, rng)
        else:
            start = perturbed_masks(shares, rng)
        if len(shares) and bool(start.any()) and settings.wrong_part_share:
            start = with_wrong_parts(start, shares, settings.wrong_part_share, rng)
        return embeddings, shares, start, torch.tensor(way[2] < settings.correcting_share), torch.tensor(step)

    def loss_of(
        embeddings: torch.Tensor, shares: torch.Tensor, low: torch.Tensor, correcting: torch.Tensor, step: torch.Tensor
    ) -> torch.Tensor:
        if not len(shares):
            return refiner.widen.weight.sum() * 0.0
        from_click = not bool(low.any())
        clicking = None if correcting else int(from_click)
        rng = np.random.default_rng([seed, int(step), _CLICK_SEED])
        choose = middle_of_component if settings.central else any_point
        clicks_of = clicks_of_stages(shares > 0.5, rng, clicking, choose)
        logits = torch.full_like(low, _ABSENT_LOGIT) if from_click else low
        losses = []
        for stage in range(1 + settings.refining_stages):
            clicks = clicks_of(stage, logits)
            wrong = (logits > 0) != (shares > 0.5)
            with context.runtime.autocast():
                low = refiner(embeddings, low, clicks)
            logits = low = low.float()
            losses.append(stage_loss(logits, shares))
            if correcting and settings.focus and wrong.any():
                losses.append(
                    settings.focus * functional.binary_cross_entropy_with_logits(logits[wrong], shares[wrong])
                )
        return torch.stack(losses).sum()

    loop = LoopSettings(settings.steps, settings.steps // 3, _MAX_GRADIENT_NORM, _CHECKPOINT_EVERY)
    average: SliceRefiner = train_steps(refiner, learning, make_batch, loss_of, loop, context)
    return average.eval()


def _rated(refiner: SliceRefiner, settings: RefinerTraining) -> list[RatedParameters]:
    """The adapter learns fast, LiteMedSAM's parts slowly."""
    base = ("prompt_encoder.", "mask_decoder.")
    trained = [(name, parameter) for name, parameter in refiner.named_parameters() if parameter.requires_grad]
    fast = [parameter for name, parameter in trained if not name.startswith(base)]
    slow = [parameter for name, parameter in trained if name.startswith(base)]
    return [(fast, settings.learning_rate), (slow, settings.decoder_rate)]
