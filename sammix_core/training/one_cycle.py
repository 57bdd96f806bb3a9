"""The optimiser and the schedule of all trainings on slices; M-SAM in 3-D has the one of its paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

Learning = tuple[Iterable[nn.Parameter], float]


def one_cycle(learning: Sequence[Learning], weight_decay: float, steps: int) -> dict[str, Any]:
    """AdamW with rates that rise to their peak and fall to nothing (Smith, Topin, arXiv 1708.07120).

    Args:
        learning: Parameters that learn, each lot with the peak of its rate.
        weight_decay: AdamW's.
        steps: How many there will be; none is treated as one, for a training that only passes its start on.

    Returns:
        "optimiser" and "schedule", as `train_steps` finds them among its parts.
    """
    groups = [{"params": list(parameters), "lr": rate} for parameters, rate in learning]
    optimiser = torch.optim.AdamW(groups, weight_decay=weight_decay)
    rates = [rate for _, rate in learning]
    return {
        "optimiser": optimiser,
        "schedule": torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, max(1, steps)),
    }
