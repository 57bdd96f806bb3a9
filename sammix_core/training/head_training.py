"""Trains the guidance head on cached embeddings: its map by masks where there are any, its pooled value by all slices.

Loss = 2 BCE(map) + soft Dice(map, slices with the structure) + 0.3 BCE(slice).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.training.context import TrainingContext
from sammix_core.training.loop import LoopSettings, one_cycle, train_steps
from sammix_core.training.losses import dice_loss
from sammix_core.training.settings import HeadTraining
from sammix_core.training.views import MIN_POSITIVE_CELLS, View, ViewSamples

_CHECKPOINT_EVERY = 100
_MAX_GRADIENT_NORM = 5.0
_DROPPED_CHANNELS = 0.15
_NOISE = 0.05


def head_loss(logits: torch.Tensor, slice_logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Loss of the head.

    Args:
        logits: (n, 1, h, w) map logits.
        slice_logits: (n,).
        shares: (n, 1, h, w) share of the structure in each cell, in [0, 1].
    """
    positive = _positive(shares).float()
    return map_loss(logits, shares) + 0.3 * functional.binary_cross_entropy_with_logits(slice_logits, positive)


def map_loss(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Loss of the map alone: 2 BCE, and soft Dice of the slices with the structure.

    Args:
        logits: (n, 1, h, w).
        shares: (n, 1, h, w) share of the structure in each cell, in [0, 1].
    """
    positive = _positive(shares)
    loss = 2 * functional.binary_cross_entropy_with_logits(logits, shares)
    if positive.any():
        loss = loss + dice_loss(logits[positive], shares[positive])
    return loss


def _positive(shares: torch.Tensor) -> torch.Tensor:
    return shares.flatten(1).sum(1) >= MIN_POSITIVE_CELLS


def _noisy_batch(
    samples: ViewSamples, pairs: Sequence[tuple[int, int]], seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings with some channels dropped and a little noise, and label shares on the map's grid."""
    source = torch.Generator().manual_seed(seed)
    embeddings = samples.embeddings(pairs)
    kept = torch.rand(embeddings.shape[:2], generator=source)[..., None, None] >= _DROPPED_CHANNELS
    embeddings = embeddings * (kept / (1 - _DROPPED_CHANNELS))
    embeddings += _NOISE * torch.randn(embeddings.shape, generator=source)
    return embeddings, functional.avg_pool2d(samples.shares(pairs), 4)


def train_head(
    views: Sequence[View], settings: HeadTraining, context: TrainingContext, start: EmbeddingHead | None = None
) -> EmbeddingHead:
    """Trains a head, resuming from the checkpoint to the same result.

    Args:
        views: What to train on.
        settings: Steps, batch, rates.
        context: Checkpoint, seed, precision, progress.
        start: A head to begin with, which is not changed; None for a fresh one.

    Returns:
        The averaged head on the CPU, in eval mode.

    Raises:
        Cancelled: The user stopped; the next call resumes.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> embeddings = np.zeros((2, 256, 64, 64), np.float16)
        >>> embeddings[1, 0, 20:40, 20:40] = 1  # channel 0 shows the structure, on the second slice alone
        >>> shares = np.zeros((2, 256, 256), np.uint8)
        >>> shares[1, 80:160, 80:160] = 255
        >>> view = View("anna", "clean", embeddings, shares, np.arange(2))
        >>> context = TrainingContext("head", Path(tempfile.mkdtemp()) / "head.pt")
        >>> head = train_head([view], HeadTraining(steps=1, batch=2), context)
        >>> [tuple(output.shape) for output in head(torch.from_numpy(embeddings).float())]
        [(2, 1, 64, 64), (2,)]
    """
    torch.manual_seed(context.seed)
    head = EmbeddingHead()
    if start is not None:
        head.load_state_dict(start.state_dict())
    head.train()
    learning = one_cycle([(head.parameters(), settings.learning_rate)], settings.weight_decay, settings.steps)
    samples = ViewSamples(views, np.random.default_rng(context.seed))
    draws = samples.draws(settings.steps, settings.batch)

    def make_batch(step: int) -> tuple[torch.Tensor, ...]:
        return _noisy_batch(samples, draws[step], context.seed * 100_003 + step)

    def loss_of(embeddings: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        with context.runtime.autocast():
            logits, slice_logits = head(embeddings)
        return head_loss(logits.float(), slice_logits.float(), shares)

    loop = LoopSettings(
        settings.steps, round(settings.average_from * settings.steps), _MAX_GRADIENT_NORM, _CHECKPOINT_EVERY
    )
    average: EmbeddingHead = train_steps(head, learning, make_batch, loss_of, loop, context)
    return average.eval()
