"""How far to go from the parent's weights to the trained ones: chosen on what was learnt from, never on the check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.candidate import Weights, between, with_weights
from sammix_core.finetuning.encoded import EncodedSlice
from sammix_core.finetuning.gather import Sample, even
from sammix_core.finetuning.scoring import KINDS, mean_dice, score_samples
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.loading import LoadedModel


def slices_for_share(learnt: Sequence[Sample]) -> list[Sample]:
    """The slices that the share is chosen by: of every case some, evenly."""
    cases: dict[str, list[Sample]] = {}
    for sample in learnt:
        cases.setdefault(sample.case, []).append(sample)
    most = max(1, recipes.MOST_FOR_SHARE // max(1, len(cases)))
    chosen = []
    for samples in cases.values():
        chosen += [samples[place] for place in even(range(len(samples)), most)]
    return chosen


def choose_share(
    model: LoadedModel,
    parent: Weights,
    trained: Weights,
    samples: Sequence[Sample],
    made: Callable[[Sample], EncodedSlice],
    step: Callable[[], None],
    *,
    boxes: BoxSettings,
    head_too: bool,
) -> float:
    """Takes the smallest share that does about as well as any.

    All that was learnt from fits better the further one goes, so the best share by that alone would always be the
    whole way. What lies nearer to the parent forgets less, and is taken as long as it costs next to nothing.

    Args:
        model: The parent, for its encoder and settings.
        parent: Its weights.
        trained: The trained ones.
        samples: Slices that were learnt from, those of earlier cases included.
        made: Gives a slice as the encoder sees it.
        step: Called after each slice.
        boxes: How boxes are made of maps.
        head_too: See `between`.
    """
    scores = {}
    for share in recipes.SHARES:
        candidate = with_weights(model, between(parent, trained, share, head_too=head_too), boxes)
        cases = score_samples(candidate, samples, made, step)
        known = [dice for dice in (mean_dice(cases, kind) for kind in KINDS) if dice is not None]
        scores[share] = fmean(known) if known else 0.0
    best = max(scores.values())
    return min(share for share, score in scores.items() if score >= best - recipes.CLOSE_ENOUGH)
