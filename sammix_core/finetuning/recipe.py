"""How gently, and for how long: what a run does with its slices. Why: docs/decisions/gentle-finetuning.md."""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.training.interpolation import FROM_THE_BEGINNING, STEPS
from sammix_core.training.settings import DecoderTraining, HeadTraining

# Shares of the way from the parent's weights to the trained ones that are tried; the head may stay where it is.
DECODER_SHARES = STEPS
HEAD_SHARES = FROM_THE_BEGINNING
# Slices by which the share is chosen, and by which the live curve is drawn.
MOST_FOR_SHARE, MOST_FOR_CURVE = 20, 6
CURVE_POINTS = 4
# Share of the slices of a step that are of the training patients, from the pack that goes with the model.
REHEARSED_SHARE = 0.5
# Dice that the training patients may lose, on the slices that are rehearsed, when the share is chosen.
MOST_LOST = 0.001


@dataclass(frozen=True)
class Recipe:
    """How a run trains.

    Attributes:
        head: The guidance head.
        decoder: Prompt encoder and mask decoder.
    """

    head: HeadTraining
    decoder: DecoderTraining


def gentle(learnt: int) -> Recipe:
    """For more of what the parent knows already: small steps, and few.

    Args:
        learnt: Slices that are learnt from.
    """
    head = HeadTraining(_between(40 + 4 * learnt, 60, 200), batch=8, learning_rate=2e-4)
    decoder = DecoderTraining(_between(30 + 2 * learnt, 40, 100), batch=4, learning_rate=2e-5)
    return Recipe(head, decoder)


def from_scratch(learnt: int) -> Recipe:
    """For a structure that the parent does not know: a new head, and the decoder a little bolder.

    Args:
        learnt: Slices that are learnt from.
    """
    head = HeadTraining(_between(120 + 4 * learnt, 140, 300), batch=8, learning_rate=1.5e-3)
    decoder = DecoderTraining(_between(30 + 2 * learnt, 40, 100), batch=4, learning_rate=5e-5)
    return Recipe(head, decoder)


def _between(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))
