"""Views, masks and a guidance for the tests of trainers."""

from __future__ import annotations

import numpy as np
import torch

from sammix_core.guidance.base import GuidanceMaps
from sammix_core.training.views import View


def a_view(case: str, name: str, areas: list[int]) -> View:
    """A view whose slice number n shows a square of `areas[n]` pixels a side, and whose embedding says n."""
    shares = np.zeros((len(areas), 256, 256), np.uint8)
    for share, side in zip(shares, areas, strict=True):
        share[60 : 60 + side, 100 : 100 + side] = 255
    embeddings = np.zeros((len(areas), 4, 8, 8), np.float16) + np.arange(len(areas))[:, None, None, None]
    return View(case, name, embeddings, shares, np.arange(len(areas)))


def square(side: int, size: int = 32) -> torch.Tensor:
    share = torch.zeros(1, 1, size, size)
    share[..., 4 : 4 + side, 4 : 4 + side] = 1
    return share


def logits_of(side: int) -> torch.Tensor:
    return 12 * square(side) - 6


class Sees:
    """A guidance that sees the square at (40, 80) to (120, 160), or nothing."""

    def __init__(self, something: bool = True) -> None:
        self._level = 4.0 if something else -4.0

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        logits = np.full((len(embeddings), 64, 64), -4, np.float32)
        logits[:, 20:40, 10:30] = self._level
        probability = 0.9 if self._level > 0 else 0.1
        return GuidanceMaps(logits, np.full(len(embeddings), probability, np.float32))
