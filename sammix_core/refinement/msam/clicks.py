"""Clicks as tensors: the user's, or drawn from where a mask is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sammix_core.refinement.msam.prompt_encoder import ABSENT, NEGATIVE, POSITIVE


@dataclass(frozen=True)
class Clicks:
    """Clicks on each crop of a batch; crops with fewer clicks are padded with absent ones.

    Attributes:
        points: (n, m, 3) int64 voxel indices of the crop; (n, m, 2) rows and columns where it is a slice.
        labels: (n, m) int64, `POSITIVE`, `NEGATIVE` or `ABSENT`.
    """

    points: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def none(cls, count: int, device: torch.device | None = None, axes: int = 3) -> Clicks:
        """No clicks, on `count` crops with `axes` axes."""
        points = torch.zeros(count, 0, axes, dtype=torch.int64, device=device)
        return cls(points, torch.zeros(count, 0, dtype=torch.int64, device=device))

    def __add__(self, other: Clicks) -> Clicks:
        """These clicks, followed by the other ones."""
        return Clicks(torch.cat([self.points, other.points], 1), torch.cat([self.labels, other.labels], 1))


def clicks_on_errors(logits: torch.Tensor, target: torch.Tensor, rng: np.random.Generator) -> Clicks:
    """Draws one click for each crop from where its mask is wrong.

    Args:
        logits: (n, 1, d, h, w) or (n, 1, h, w) of the mask; above 0 is inside.
        target: The same shape, bool, the correct mask.
        rng: Draws the clicks; the same state gives the same clicks.

    Returns:
        One click each: positive where the mask misses something, negative where it has too much, absent where the
        whole mask is correct.
    """
    points, labels = [], []
    for mask, right in zip(logits[:, 0] > 0, target[:, 0], strict=True):
        wrong = torch.nonzero(mask != right)
        if len(wrong) == 0:
            points.append(torch.zeros(mask.dim(), dtype=torch.int64, device=logits.device))
            labels.append(ABSENT)
            continue
        point = wrong[int(rng.integers(len(wrong)))]
        points.append(point)
        labels.append(POSITIVE if bool(right[tuple(point)]) else NEGATIVE)
    return Clicks(torch.stack(points)[:, None], torch.tensor(labels, device=logits.device)[:, None])
