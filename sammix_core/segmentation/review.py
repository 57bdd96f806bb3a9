"""Ranks the slices that a person should review: those where several signs say that the mask may be wrong.

Each sign is a doubt from 0 (none) to 1, rising linearly between a normal value and a bad one:

=================  ============================================================================  =======  ====
sign               figure                                                                        normal   bad
=================  ============================================================================  =======  ====
masks              share of pixels in any of the three masks that are in all of them             0.95     0.60
score              overlap that the mask predicts of itself                                      0.95     0.60
cam                Dice of the class activation map and the mask                                 0.90     0.40
jump               area against the mean of its neighbours' areas, as a share of the largest of  0.15     0.60
                   the three (of 5 % of the volume's largest area at least); see `area_jumps`
presence           probability of the side that the mask is not on: that there is no liver where  0.30     0.90
                   a mask is, or that there is where none is
=================  ============================================================================  =======  ====

A slice's uncertainty is 1 - (1 - d1)(1 - d2)...: one sign is enough, and several add up. Slices that a person corrected
have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.segmentation.slice_state import SliceScores, SliceState

if TYPE_CHECKING:
    from sammix_core.segmentation.result import SliceReport

NEEDS_REVIEW = 0.5
_SMALL_AREA = 0.05

# What people read, and the figure's normal and bad values.
_SIGNS = {
    "the three masks disagree": (0.95, 0.60),
    "low score": (0.95, 0.60),
    "map and mask disagree": (0.90, 0.40),
    "the area jumps": (0.15, 0.60),
    "mask and probability disagree": (0.30, 0.90),
}


@dataclass(frozen=True)
class SliceReview:
    """How uncertain a slice is.

    Attributes:
        slice_index: Index along the user's slice axis.
        uncertainty: From 0 to 1.
        reasons: Reasons to review it, strongest first; empty where there are none.
    """

    slice_index: int
    uncertainty: float
    reasons: tuple[str, ...]

    @property
    def needs_review(self) -> bool:
        """Whether a person should review the slice."""
        return self.uncertainty >= NEEDS_REVIEW


def review_slices(
    states: Iterable[SliceState], probabilities: Mapping[int, float], slice_count: int
) -> list[SliceReview]:
    """Rates every slice of a volume.

    Args:
        states: States of slices, in any order; a slice without one has no mask.
        probabilities: That a slice shows the structure, by index; may lack slices.
        slice_count: Slices along the user's slice axis.

    Returns:
        One review a slice, in the order of the slice axis. See `most_uncertain` for the order of review.
    """
    by_index = {state.slice_index: state for state in states}
    every = [by_index.get(index, SliceState(index)) for index in range(slice_count)]
    probability = np.array([probabilities.get(index, np.nan) for index in range(slice_count)])
    by_hand = np.array([state.corrected or state.deleted for state in every])
    return _rated([state.scores for state in every], [state.area_px for state in every], probability, by_hand)


def review_reports(reports: Sequence[SliceReport]) -> list[SliceReview]:
    """Rates every slice of a result that nobody has corrected.

    Args:
        reports: Those of the result, in the order of the slice axis.

    Returns:
        As `review_slices`.
    """
    probability = np.array([report.probability for report in reports])
    by_hand = np.zeros(len(reports), bool)
    return _rated([report.scores for report in reports], [report.area_px for report in reports], probability, by_hand)


def most_uncertain(reviews: Iterable[SliceReview]) -> list[SliceReview]:
    """The slices that need review, most uncertain first; of equal ones the lower index first."""
    wanted = [review for review in reviews if review.needs_review]
    return sorted(wanted, key=lambda review: (-review.uncertainty, review.slice_index))


def doubts_of(
    agreement: np.ndarray, score: np.ndarray, cam_agreement: np.ndarray, area: np.ndarray, against: np.ndarray
) -> np.ndarray:
    """Turns figures into doubts.

    Args:
        agreement: (n,) of the three masks; NaN where there are none, as in the others.
        score: (n,) that the masks predict of themselves.
        cam_agreement: (n,) of map and mask.
        area: (n,) pixels, 0 without a mask.
        against: (n,) probability of the side that the mask is not on.

    Returns:
        (5, n) from 0 to 1, in the order of the table above; 0 where a figure is NaN.
    """
    figures = np.stack([agreement, score, cam_agreement, area_jumps(area), against])
    normal, bad = (np.array([ends[column] for ends in _SIGNS.values()])[:, None] for column in (0, 1))
    return np.nan_to_num(np.clip((figures - normal) / (bad - normal), 0, 1), nan=0.0)


def area_jumps(area: np.ndarray) -> np.ndarray:
    """How far each slice's area is from the mean of its neighbours', relative to the largest of the three.

    A liver has ends, so an empty neighbour of a slice with a mask says nothing, and an empty slice jumps only between
    two that are not.

    Args:
        area: (n,) pixels.

    Returns:
        (n,) from 0 up.

    Example:
        >>> area_jumps(np.array([0.0, 100, 200, 0, 200, 190, 40, 25, 0])).round(2).tolist()
        [0.0, 0.0, 0.0, 1.0, 0.0, 0.35, 0.36, 0.0, 0.0]
    """
    beyond = np.concatenate([[0.0], area, [0.0]])
    before, after = beyond[:-2], beyond[2:]
    inside = (before > 0) & (after > 0)
    floor = max(1.0, _SMALL_AREA * float(area.max(initial=0)))
    largest = np.maximum(np.maximum.reduce([area, before, after]), floor)
    return np.where(inside, np.abs(area - (before + after) / 2) / largest, 0.0)


def _rated(
    scores: Sequence[SliceScores], area_px: Sequence[int], probability: np.ndarray, by_hand: np.ndarray
) -> list[SliceReview]:
    """The reviews of all slices in their order; `by_hand` are those that a person made or deleted."""
    area = np.array(area_px, dtype=float)
    doubts = doubts_of(
        np.array([_number(entry.agreement) for entry in scores]),
        np.array([_number(entry.score) for entry in scores]),
        np.array([_number(entry.cam_agreement) for entry in scores]),
        area,
        np.where(area > 0, 1 - probability, probability),
    )
    # Masks and deletions by a person are not doubted.
    doubts[:, by_hand] = 0
    total = 1 - np.prod(1 - doubts, axis=0)
    return [SliceReview(index, float(total[index]), _reasons(doubts[:, index])) for index in range(len(area))]


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _reasons(doubts: np.ndarray) -> tuple[str, ...]:
    names = list(_SIGNS)
    return tuple(names[sign] for sign in np.argsort(-doubts, kind="stable") if doubts[sign] >= 0.25)
