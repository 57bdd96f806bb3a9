"""The slices of a stored run whose truth is known: their signs, what is really wrong, and how far a list reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from runs import StoredRun

from sammix_core.datasets.cases import LabelledCase
from sammix_core.segmentation.review import SliceReview, VolumeReviewer, review_order
from sammix_core.segmentation.review.estimate import ErrorEstimate

FIRST_SHARE = 0.2
FIRST_LEAST = 3


@dataclass(frozen=True)
class LabelledSlices:
    """One case as a model segmented it, beside the labels.

    Attributes:
        run: The run.
        case: The labelled case.
        wrong_px: Wrong pixels of each labelled slice, by its index.
        pixel_mm2: Area of a pixel.
    """

    run: StoredRun
    case: LabelledCase
    wrong_px: dict[int, int]
    pixel_mm2: float

    @classmethod
    def of(cls, case: LabelledCase, run: StoredRun) -> LabelledSlices:
        """Compares a run with the labels; a slice known to be without the structure has an empty one."""
        wrong = {}
        for index, label in case.planes().items():
            mask = run.states[index].mask
            wrong[index] = int(np.count_nonzero(label if mask is None else label != (mask.unpack() > 0)))
        _, row_mm, col_mm = case.spacing
        return cls(run, case, wrong, row_mm * col_mm)

    def signs(self) -> np.ndarray:
        """(labelled slices, signs) mm², in the order of `wrong_px`."""
        reviewer = VolumeReviewer.of(self.case.volume, self.case.order, "liver")
        return reviewer.signs(self.run.states, self.run.probabilities)[list(self.wrong_px)]

    def reviews(self, estimate: ErrorEstimate | None = None) -> list[SliceReview]:
        """What the review says of every slice, with other weights than the shipped ones where they are given."""
        reviewer = VolumeReviewer.of(self.case.volume, self.case.order, "liver", estimate)
        return reviewer.review(self.run.states, self.run.probabilities)

    def listed(self, estimate: ErrorEstimate | None = None) -> list[int]:
        """The review list, without slices whose truth is not known."""
        order = review_order(self.reviews(estimate))
        return [review.slice_index for review in order if review.slice_index in self.wrong_px]

    def reach(self, listed: Sequence[int]) -> tuple[int, float]:
        """How many slices the first fifth of a list has, and its wrong pixels as a share of the best order's."""
        first = max(FIRST_LEAST, round(FIRST_SHARE * len(listed)))
        best = sum(sorted(self.wrong_px.values(), reverse=True)[:first])
        return first, sum(self.wrong_px[index] for index in listed[:first]) / best if best else 1.0
