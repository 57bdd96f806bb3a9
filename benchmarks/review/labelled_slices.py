"""The slices of a segmented volume whose truth is known: signs, what is really wrong, and how far a list reaches."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from out_of_fold import kept_slices

from sammix_core.datasets.cases import LabelledCase
from sammix_core.datasets.labels import decode_runs
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.review import SliceReview, VolumeReviewer, review_order
from sammix_core.segmentation.review.estimate import ErrorEstimate
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_state import SliceScores, SliceState

FIRST_SHARE = 0.2
FIRST_LEAST = 3


@dataclass(frozen=True)
class LabelledSlices:
    """One case as a model segmented it, beside the labels.

    Attributes:
        case: The labelled case.
        model: "liver/2.0.0".
        states: Of every slice, in the order of the slice axis.
        probabilities: That a slice shows the structure, by index.
        wrong_px: Wrong pixels of each labelled slice, by its index.
    """

    case: LabelledCase
    model: str
    states: list[SliceState]
    probabilities: dict[int, float]
    wrong_px: dict[int, int]

    @classmethod
    def of(
        cls, case: LabelledCase, model: str, states: Sequence[SliceState], probabilities: Mapping[int, float]
    ) -> LabelledSlices:
        """Compares masks with the labels; a slice known to be without the structure has an empty one."""
        every = sorted(states, key=lambda state: state.slice_index)
        wrong = {}
        for index, label in case.planes().items():
            mask = every[index].mask
            wrong[index] = int(np.count_nonzero(label if mask is None else label != (mask.unpack() > 0)))
        return cls(case, model, every, dict(probabilities), wrong)

    @classmethod
    def of_session(cls, case: LabelledCase, session: SegmentationSession) -> LabelledSlices:
        """Of a session whose boxes were segmented."""
        guidance = session.guidance
        probabilities = {} if guidance is None else guidance.probabilities(session.volume.shape_kji)
        states = [session.slices.state(index) for index in range(session.boxes.slice_count)]
        return cls.of(case, session.model_spec, states, probabilities)

    @classmethod
    def out_of_fold(cls, case: LabelledCase) -> LabelledSlices:
        """As a model segmented it that had not seen the patient; see `benchmarks/out_of_fold.py`."""
        kept, order, shape = kept_slices(case.name), case.order, case.volume.shape_kji
        states, probabilities = [], {}
        for entry in kept["slices"]:
            index = order.slice_index(entry["slice"], shape)
            mask = np.asarray(order.slice_to_volume(decode_runs(entry["runs"], tuple(kept["shape"][1:]))))
            scores = SliceScores(**{**entry["scores"], "mask_scores": tuple(entry["scores"]["mask_scores"])})
            states.append(SliceState(index, mask=PackedMask.pack(mask) if mask.any() else None, scores=scores))
            probabilities[index] = np.nan if entry["probability"] is None else entry["probability"]
        return cls.of(case, kept["model"], states, probabilities)

    @property
    def wrong_mm2(self) -> np.ndarray:
        """(labelled slices,) in the order of `wrong_px`."""
        _, row_mm, col_mm = self.case.spacing
        return np.array(list(self.wrong_px.values())) * row_mm * col_mm

    def signs(self) -> np.ndarray:
        """(labelled slices, signs) mm², in the order of `wrong_px`."""
        reviewer = VolumeReviewer.of(self.case.volume, self.case.order, "liver")
        return reviewer.signs(self.states, self.probabilities)[list(self.wrong_px)]

    def reviews(self, estimate: ErrorEstimate | None = None) -> list[SliceReview]:
        """What the review says of every labelled slice, with other weights than the shipped ones where given."""
        reviewer = VolumeReviewer.of(self.case.volume, self.case.order, "liver", estimate)
        reviews = reviewer.review(self.states, self.probabilities)
        return [review for review in reviews if review.slice_index in self.wrong_px]

    def listed(self, estimate: ErrorEstimate | None = None) -> list[int]:
        """The review list, without slices whose truth is not known."""
        return [review.slice_index for review in review_order(self.reviews(estimate))]

    def reach(self, listed: Sequence[int]) -> tuple[int, float]:
        """How many slices the first fifth of a list has, and its wrong pixels as a share of the best order's."""
        first = max(FIRST_LEAST, round(FIRST_SHARE * len(listed)))
        best = sum(sorted(self.wrong_px.values(), reverse=True)[:first])
        return first, sum(self.wrong_px[index] for index in listed[:first]) / best if best else 1.0
