"""Rates the slices of a volume by how much of each is expected to be wrong, and puts them in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from sammix_core.masks.packed_mask import PackedMask
from sammix_core.model_store.organs import DEFAULT_ORGAN
from sammix_core.segmentation.review.cells import CellGrid, Density
from sammix_core.segmentation.review.estimate import ErrorEstimate, shipped_estimate
from sammix_core.segmentation.review.signs import PLACES, SIGNS, SeenSlice, mean_area, places_of, signs_of
from sammix_core.segmentation.review.words import reasons_of
from sammix_core.segmentation.slice_state import SliceScores, SliceState
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

NEEDS_REVIEW = 0.05  # half of the slices above it are really wrong by as much: benchmarks/review/fit.py
WORTH_REVIEW_MM2 = 10.0  # of expected wrong area: less is a rounding of the outline
_SMALL_SHARE = 0.1  # of the largest mask: what is smaller counts as this large


@dataclass(frozen=True)
class SliceReview:
    """How much of a slice is expected to be wrong.

    Attributes:
        slice_index: Index along the user's slice axis.
        uncertainty: Expected wrong area as a share of the mask's, from 0 to 1; of a tenth of the volume's largest mask
            where the slice's is smaller.
        reasons: Reasons to review it, strongest first; empty where there are none.
        expected_wrong_px: Pixels of the slice that are expected to be wrong.
        worth_it: Whether looking at the slice is worth a person's time at all.
        prompted: Whether a person clicked there or changed its boxes, and so has seen it.
    """

    slice_index: int
    uncertainty: float
    reasons: tuple[str, ...]
    expected_wrong_px: float = 0.0
    worth_it: bool = False
    prompted: bool = False

    @property
    def needs_review(self) -> bool:
        """Whether a person should review the slice."""
        return self.uncertainty >= NEEDS_REVIEW


@dataclass(frozen=True, eq=False)
class _Rated:
    """A slice with what its rating was made of, so that it is made again only when that has changed."""

    made_of: tuple[SeenSlice, SeenSlice | None, SeenSlice | None, Density]  # here, below, above
    mean_beside_mm2: float
    places: dict[str, np.ndarray]
    signs: np.ndarray

    def is_made_of(self, parts: tuple[SeenSlice, SeenSlice | None, SeenSlice | None, Density]) -> bool:
        return all(one is other for one, other in zip(self.made_of, parts, strict=True))


class VolumeReviewer:
    """Rates the slices of one volume; a rating after an edit costs little more than the changed slice.

    Args:
        array: (k, j, i) HU, by reference.
        order: How it is cut into canonical slices.
        spacing: (i, j, k) mm.
        spacing_known: Whether those are real millimetres.
        sides_known: Whether left and right are known; no place is named otherwise.
        target: "liver".
        estimate: What each sign is worth; the shipped weights by default.
    """

    def __init__(
        self,
        array: np.ndarray,
        order: AxialOrder,
        spacing: tuple[float, float, float],
        spacing_known: bool = True,
        sides_known: bool = True,
        target: str = DEFAULT_ORGAN.name,
        estimate: ErrorEstimate | None = None,
    ) -> None:
        self._shape_kji = (array.shape[0], array.shape[1], array.shape[2])
        self._axial = order.forward(array)
        self._order = order
        self._grid = CellGrid.of(order.shape(self._shape_kji), order.spacing(spacing), spacing_known)
        self._sides_known = sides_known
        self._target = target
        self._estimate = shipped_estimate() if estimate is None else estimate
        self._hu: dict[int, np.ndarray] = {}
        self._seen: dict[int, tuple[tuple[PackedMask | None, SliceScores, float | None], SeenSlice]] = {}
        self._rated: dict[int, _Rated] = {}
        self._density: Density | None = None
        self._by_hand: set[int] = set()

    @classmethod
    def of(cls, volume: Volume, order: AxialOrder, target: str, estimate: ErrorEstimate | None = None) -> Self:
        """Of a volume, cut in an order that may be another than its header's."""
        known = (volume.spacing_known, volume.orientation_known)
        return cls(volume.array, order, volume.spacing, *known, target=target, estimate=estimate)

    def review(self, states: Iterable[SliceState], probabilities: Mapping[int, float]) -> list[SliceReview]:
        """Rates every slice.

        A slice that a person made or emptied is taken as right, and a slice without mask and probability as not
        segmented yet: neither is worth a review.

        Args:
            states: States of slices, in any order; a slice without one has no mask.
            probabilities: That a slice shows the organ, by index; may lack slices.

        Returns:
            One review a slice, in the order of the slice axis. See `review_order` for the order of review.
        """
        by_index = {state.slice_index: state for state in states}
        every = [by_index.get(index, SliceState(index)) for index in range(len(self._axial))]
        signs = self.signs(every, probabilities)
        self._by_hand = {state.slice_index for state in every if state.corrected or state.deleted}
        largest = _SMALL_SHARE * max((state.area_px for state in every), default=0)
        return [
            SliceReview(state.slice_index, 0.0, ())
            if state.slice_index in self._by_hand
            else self._rate(state, signs[state.slice_index], max(state.area_px, largest, 1))
            for state in every
        ]

    def signs(self, every: list[SliceState], probabilities: Mapping[int, float]) -> np.ndarray:
        """The signs of all slices, those too that are taken as right.

        Args:
            every: One state a slice, in the order of the slice axis.
            probabilities: As of `review`.

        Returns:
            (slices, signs) mm², in the order of `SIGNS`.
        """
        seen = [self._see(state, probabilities.get(state.slice_index, np.nan)) for state in every]
        density = Density.of(one.values for one in seen if one is not None)
        if density is None or self._density is None or not density.close_to(self._density):
            self._density = density
        for index in range(len(seen)):
            self._look(index, seen)
        none = np.zeros(len(SIGNS))
        return np.array([self._rated[index].signs if index in self._rated else none for index in range(len(seen))])

    def doubts(self) -> dict[int, np.ndarray]:
        """How likely pixels are wrong by the signs that lie somewhere, as of the last `review`.

        Returns:
            (rows, cols) float32 in [0, 1] on canonical pixels, by slice index; slices that a person made are left out.
        """
        shape, weights = (self._axial.shape[1], self._axial.shape[2]), self._estimate.weights
        doubts = {}
        for index in self._rated.keys() - self._by_hand:
            places = self._rated[index].places
            doubt = np.sum([weights[name] * places[name] for name in PLACES], axis=0)
            doubts[index] = self._grid.to_pixels(np.clip(doubt, 0, 1).astype(np.float32), shape)
        return doubts

    def _see(self, state: SliceState, probability: float) -> SeenSlice | None:
        """A slice on its cells, the same object as long as it is the same; None for one that was not segmented yet."""
        index = state.slice_index
        if state.mask is None and np.isnan(probability) and not (state.corrected or state.deleted):
            self._seen.pop(index, None)
            return None
        made_of = (state.mask, state.scores, None if np.isnan(probability) else probability)
        if index in self._seen and self._seen[index][0] == made_of:
            return self._seen[index][1]
        canonical = self._order.canonical_slice(index, self._shape_kji)
        if index not in self._hu:
            self._hu[index] = self._grid.of_hu(self._axial[canonical])
        hu = self._hu[index]
        cells = np.zeros(hu.shape, bool)
        if state.mask is not None:
            cells = self._grid.of_mask(self._order.slice_to_canonical(state.mask.unpack()))
        area_mm2 = state.area_px * self._grid.pixel_mm2
        seen = SeenSlice(cells, hu, area_mm2, state.scores, probability)
        self._seen[index] = (made_of, seen)
        return seen

    def _look(self, index: int, seen: Sequence[SeenSlice | None]) -> None:
        """Finds the signs of a slice, unless nothing has changed that they depend on."""
        here, density = seen[index], self._density
        if here is None or density is None:
            self._rated.pop(index, None)
            return
        below = seen[index - 1] if index > 0 else None
        above = seen[index + 1] if index + 1 < len(seen) else None
        made_of = (here, below, above, density)
        if index in self._rated and self._rated[index].is_made_of(made_of):
            return
        beside = [other for other in (below, above) if other is not None]
        places = places_of(here, beside, density, self._grid)
        self._rated[index] = _Rated(made_of, mean_area(beside), places, signs_of(here, beside, places, self._grid))

    def _rate(self, state: SliceState, signs: np.ndarray, reference_px: float) -> SliceReview:
        """The review of a slice that no person made."""
        index = state.slice_index
        parts = self._estimate.parts(signs)
        expected_mm2 = float(parts.sum())
        expected_px = expected_mm2 / self._grid.pixel_mm2
        uncertainty = min(expected_px / reference_px, 1.0)
        reasons: tuple[str, ...] = ()
        if index in self._rated and expected_mm2 > 0:
            rated = self._rated[index]
            reasons = reasons_of(
                parts, rated.made_of[0], rated.mean_beside_mm2, rated.places, self._target, self._sides_known
            )
        worth_it = expected_mm2 >= WORTH_REVIEW_MM2
        return SliceReview(index, uncertainty, reasons, expected_px, worth_it, state.prompted)


def review_order(reviews: Iterable[SliceReview]) -> list[SliceReview]:
    """The slices that are worth a review, the one with most to be wrong first; of equal ones the lower index first.

    Slices that a person prompted come last: the person has seen what is still wrong there, and a correction hardly
    changes the signs.
    """
    worth = [review for review in reviews if review.worth_it]
    return sorted(worth, key=lambda review: (review.prompted, -review.expected_wrong_px, review.slice_index))


def most_uncertain(reviews: Iterable[SliceReview]) -> list[SliceReview]:
    """Of `review_order` those that need review: where much of the mask, and not just of a large slice, may be wrong."""
    return [review for review in review_order(reviews) if review.needs_review]
