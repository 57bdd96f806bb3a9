"""Part of the way from the weights that a training began with to the trained ones; docs/decisions/gentle-finetuning.md.

Weights nearer to the beginning forget less, and are taken as long as they cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

STEPS = (0.25, 0.5, 0.75, 1.0)
FROM_THE_BEGINNING = (0.0, *STEPS)
# The smallest share is taken whose Dice is within this of the best.
CLOSE_ENOUGH = 0.003


@dataclass(frozen=True)
class Shares:
    """How far weights go: 0 for those at the beginning, 1 for the trained ones.

    Attributes:
        head: Of the guidance head.
        decoder: Of prompt encoder and mask decoder.
    """

    head: float
    decoder: float


def mixed(
    start: Mapping[str, torch.Tensor], trained: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Tensors part of the way, float32."""
    return {name: torch.lerp(start[name].float(), trained[name].float(), share) for name in trained}


def choose_shares(
    score: Callable[[Shares], float], heads: Sequence[float], decoders: Sequence[float], head: float
) -> Shares:
    """Takes the smallest shares that do about as well as any, the decoder's first and then the head's.

    Args:
        score: How well shares do; higher is better.
        heads: The head's shares that are tried.
        decoders: The decoder's.
        head: The head's share while the decoder's is chosen.
    """
    decoder = _smallest_good({share: score(Shares(head, share)) for share in decoders})
    return Shares(_smallest_good({share: score(Shares(share, decoder)) for share in heads}), decoder)


def _smallest_good(scores: Mapping[float, float]) -> float:
    best = max(scores.values())
    return min(share for share, score in scores.items() if score >= best - CLOSE_ENOUGH)
