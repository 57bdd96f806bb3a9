"""Trains the guidance head on cached embeddings: its map by masks where there are any, its pooled value by all slices.

Loss = 2 BCE(map) + soft Dice(map, slices with the structure) + 0.3 BCE(slice). BCE and Dice are MONAI's and torch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from monai.losses import DiceLoss
from torch.nn import functional

from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.training.config import HeadTraining
from sammix_core.training.loop import OnStep, Pace, train_steps
from sammix_core.training.one_cycle import one_cycle
from sammix_core.training.views import CLEAN, View

_POSITIVE_SHARE = 0.7
_CELLS_FOR_POSITIVE = 1.0  # a slice counts as showing the structure from this much of a cell on
_CHECKPOINT_STEPS = 100
_DROPPED_CHANNELS = 0.15
_NOISE = 0.05


class Samples:
    """Slices of several views, drawn so that every patient counts the same."""

    def __init__(self, views: Sequence[View], rng: np.random.Generator) -> None:
        self.views = views
        self._rng = rng
        areas = [view.shares.reshape(len(view.shares), -1).sum(1) / 255 / 16 for view in views]
        self._positive = self._by_patient([np.flatnonzero(area >= _CELLS_FOR_POSITIVE) for area in areas])
        self._negative = self._by_patient([np.flatnonzero(area == 0) for area in areas])

    def _by_patient(self, found: list[np.ndarray]) -> list[list[tuple[int, int]]]:
        groups: dict[str, list[tuple[int, int]]] = {}
        for number, (view, indices) in enumerate(zip(self.views, found, strict=True)):
            # The clean view is what inference sees, so it counts four times.
            for index in indices:
                groups.setdefault(view.case, []).extend([(number, int(index))] * (4 if view.name == CLEAN else 1))
        return [group for group in groups.values() if group]

    def draw(self, count: int, positive_share: float = _POSITIVE_SHARE) -> list[tuple[int, int]]:
        """Draws (view, index) pairs; by patient first, so that a patient with many slices has no more say."""
        picked = []
        for number in range(count):
            groups = self._positive if number < round(count * positive_share) or not self._negative else self._negative
            group = groups[self._rng.integers(len(groups))]
            picked.append(group[self._rng.integers(len(group))])
        return picked

    def embeddings(self, pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
        """(n, 256, 64, 64) float32."""
        return torch.from_numpy(np.stack([self.views[v].embeddings[i] for v, i in pairs])).float()

    def shares(self, pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
        """(n, 1, 256, 256) float32 in [0, 1]."""
        return torch.from_numpy(np.stack([self.views[v].shares[i] for v, i in pairs]))[:, None].float() / 255


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
        loss = loss + DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)(logits[positive], shares[positive])
    return loss


def _positive(shares: torch.Tensor) -> torch.Tensor:
    return shares.flatten(1).sum(1) >= _CELLS_FOR_POSITIVE


def _noisy_batch(samples: Samples, pairs: Sequence[tuple[int, int]], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings with some channels dropped and a little noise, and label shares on the map's grid."""
    source = torch.Generator().manual_seed(seed)
    embeddings = samples.embeddings(pairs)
    kept = torch.rand(embeddings.shape[:2], generator=source)[..., None, None] >= _DROPPED_CHANNELS
    embeddings = embeddings * (kept / (1 - _DROPPED_CHANNELS))
    embeddings += _NOISE * torch.randn(embeddings.shape, generator=source)
    return embeddings, functional.avg_pool2d(samples.shares(pairs), 4)


def train_head(
    views: Sequence[View],
    settings: HeadTraining,
    seed: int,
    fabric: Fabric,
    checkpoint: Path,
    label: str,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
    start: EmbeddingHead | None = None,
    on_step: OnStep | None = None,
) -> EmbeddingHead:
    """Trains a head, resuming from the checkpoint to the same result.

    Args:
        views: What to train on.
        settings: Steps, batch, rates.
        seed: Of weights, draws and noise.
        fabric: Its precision is used.
        checkpoint: File that holds the state every 100 steps, when it is stopped, and at the end.
        label: Name of the stage for progress.
        progress: Told after each step.
        cancel: Asked after each step.
        start: A head to go on from, which is not changed; None for one as it was born.
        on_step: Told of each step.

    Returns:
        The averaged head on the CPU, in eval mode.
    """
    torch.manual_seed(seed)
    head, average = EmbeddingHead(), EmbeddingHead()
    if start is not None:
        for module in (head, average):
            module.load_state_dict(start.state_dict())
    learning = one_cycle([(head.parameters(), settings.learning_rate)], settings.weight_decay, settings.steps)
    parts = {"head": head, "average": average, **learning}
    samples = Samples(views, np.random.default_rng(seed))
    head.train()
    # All draws are made first, those of steps already done as well: the sequence must be the same after a resume.
    draws = [samples.draw(settings.batch) for _ in range(settings.steps)]

    def batch(step: int) -> tuple[torch.Tensor, ...]:
        return _noisy_batch(samples, draws[step], seed * 100_003 + step)

    def loss_of(embeddings: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        with fabric.autocast():
            logits, slice_logits = head(embeddings)
        return head_loss(logits.float(), slice_logits.float(), shares)

    pace = Pace(settings.steps, round(settings.average_from * settings.steps), 5.0, _CHECKPOINT_STEPS)
    train_steps(head, average, parts, batch, loss_of, pace, fabric, checkpoint, label, progress, cancel, on_step)
    return average.eval()
