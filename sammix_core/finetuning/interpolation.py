"""How far to go from the parent's weights to the trained ones: chosen on what was learnt from, never on the check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean

from sammix_core.datasets.sampling import spread_with_ends
from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.candidate import Weights, between, with_weights
from sammix_core.finetuning.encoded import EncodedSlice
from sammix_core.finetuning.samples import Sample
from sammix_core.finetuning.scoring import KINDS, mean_dice, score_samples
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.interpolation import FROM_THE_BEGINNING, Shares
from sammix_core.training.interpolation import choose_shares as choose


@dataclass(frozen=True)
class Endpoints:
    """Where the way from the parent's weights to the trained ones begins and ends.

    Attributes:
        model: The parent, for its encoder and settings.
        parent: Its weights.
        trained: The trained ones.
        boxes: How boxes are made of maps.
    """

    model: LoadedModel
    parent: Weights
    trained: Weights
    boxes: BoxSettings

    def between(self, shares: Shares) -> Weights:
        """Weights part of the way."""
        return between(self.parent, self.trained, shares)


def slices_for_share(learnt: Sequence[Sample]) -> list[Sample]:
    """The slices that the share is chosen by: of every case some, evenly."""
    cases: dict[str, list[Sample]] = {}
    for sample in learnt:
        cases.setdefault(sample.case, []).append(sample)
    most = max(1, recipes.MOST_FOR_SHARE // max(1, len(cases)))
    chosen = []
    for samples in cases.values():
        chosen += [samples[index] for index in spread_with_ends(range(len(samples)), most)]
    return chosen


def shares_tried(new_structure: bool) -> int:
    """How many candidates `choose_shares` scores."""
    return len(recipes.DECODER_SHARES) + (0 if new_structure else sum(share > 0 for share in recipes.HEAD_SHARES))


def choose_shares(
    endpoints: Endpoints,
    samples: Sequence[Sample],
    encoded: Callable[[Sample], EncodedSlice],
    on_slice: Callable[[], None],
    *,
    new_structure: bool,
) -> Shares:
    """Takes the smallest shares that do about as well as any, the decoder's first and then the head's.

    All that was learnt from fits better the further one goes, so the best share by that alone would always be the
    whole way. What lies nearer to the parent forgets less, and is taken as long as it costs next to nothing. The head
    stays as it was where its boxes were right already: corrected slices mostly show the structure, and a head that
    learns from those alone comes to see it everywhere.

    Args:
        endpoints: The parent and what training made of it.
        samples: Slices that were learnt from, those of earlier cases included.
        encoded: Gives a slice as the encoder sees it.
        on_slice: Called after each slice; may raise to stop.
        new_structure: Whether the parent does not know the structure; then the head is as trained.
    """

    @cache
    def score(shares: Shares) -> float:
        candidate = with_weights(endpoints.model, endpoints.between(shares), endpoints.boxes)
        cases = score_samples(candidate, samples, encoded, on_slice)
        scores = [dice for dice in (mean_dice(cases, kind) for kind in KINDS) if dice is not None]
        return fmean(scores) if scores else 0.0

    if new_structure:
        return choose(score, heads=(1.0,), decoders=recipes.DECODER_SHARES, head=1.0)
    return choose(score, heads=recipes.HEAD_SHARES, decoders=recipes.DECODER_SHARES, head=0.0)


def kept_shares(shares: Shares, lost: Callable[[Shares], float]) -> Shares:
    """Goes back towards the parent until the training patients lose next to nothing.

    Args:
        shares: As `choose_shares` returned them.
        lost: The Dice that the training patients lose with some shares.

    Returns:
        The first of the shares that loses no more than `recipe.MOST_LOST`. The part that went further goes back first,
        and of two that went as far the decoder, which costs other patients more; the parent's own weights at the end.
    """
    while shares != Shares(0.0, 0.0) and lost(shares) > recipes.MOST_LOST:
        if shares.decoder >= shares.head:
            shares = replace(shares, decoder=_one_less(shares.decoder))
        else:
            shares = replace(shares, head=_one_less(shares.head))
    return shares


def _one_less(share: float) -> float:
    return max(less for less in FROM_THE_BEGINNING if less < share)
