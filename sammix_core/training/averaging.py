"""Weight averaging, which costs nothing and forgives the last steps."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def average_into(average: nn.Module, model: nn.Module, step: int, decay: float = 0.985) -> None:
    """Moves an exponential average towards the model.

    Args:
        average: Module of the same shape, changed in place.
        model: The one being trained.
        step: Steps since averaging began; below 1 the average is a plain copy.
        decay: Weight of what was before, once that many steps are there.
    """
    keep = 0.0 if step < 1 else min(decay, step / (step + 10))
    for own, new in zip(average.parameters(), model.parameters(), strict=True):
        own.lerp_(new, 1 - keep)
    for kept, seen in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(seen)
