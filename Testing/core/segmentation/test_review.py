"""Which slices a person should look at: each sign by itself, several together, and what is never doubted."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest

from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.result import SliceReport
from sammix_core.segmentation.review import (
    SliceReview,
    area_jumps,
    doubts_of,
    most_uncertain,
    review_reports,
    review_slices,
)
from sammix_core.segmentation.slice_state import SliceScores, SliceState

GOOD = {"score": 0.95, "agreement": 0.95, "cam_agreement": 0.9, "mask_scores": (0.95, 0.9, 0.9)}


def a_mask(area: int) -> PackedMask | None:
    if area == 0:
        return None
    plane = np.zeros(400, np.uint8)
    plane[:area] = 1
    return PackedMask.pack(plane.reshape(20, 20))


def a_volume(areas: list[int], corrected: Collection[int] = (), **changed: dict[int, object]) -> list[SliceState]:
    """Slices that nothing speaks against but their areas, with scores changed by slice."""
    states = []
    for index, area in enumerate(areas):
        fields = {name: values[index] for name, values in changed.items() if index in values}
        good = GOOD if area else {}
        scores = SliceScores(**{**good, **fields})  # type: ignore[arg-type]
        states.append(SliceState(index, mask=a_mask(area), scores=scores, corrected=index in corrected))
    return states


AREAS = [0, 0, 150, 250, 300, 250, 150, 0]
PROBABILITIES = {index: 0.99 if area else 0.01 for index, area in enumerate(AREAS)}


def uncertainties(states: list[SliceState], probabilities: dict[int, float] = PROBABILITIES) -> list[float]:
    return [review.uncertainty for review in review_slices(states, probabilities, len(AREAS))]


def test_a_volume_that_is_right_needs_no_review() -> None:
    reviews = review_slices(a_volume(AREAS), PROBABILITIES, len(AREAS))
    assert [review.slice_index for review in reviews] == list(range(8))
    assert most_uncertain(reviews) == []


@pytest.mark.parametrize(
    ("field", "bad", "reason"),
    [
        ("agreement", 0.6, "the three masks disagree"),
        ("score", 0.6, "low score"),
        ("cam_agreement", 0.4, "map and mask disagree"),
    ],
)
def test_each_figure_alone_calls_for_review(field: str, bad: float, reason: str) -> None:
    reviews = review_slices(a_volume(AREAS, **{field: {3: bad}}), PROBABILITIES, len(AREAS))
    assert [(review.slice_index, review.uncertainty) for review in most_uncertain(reviews)] == [(3, 1.0)]
    assert reviews[3].reasons[0] == reason
    half = (GOOD[field] + bad) / 2  # type: ignore[operator]
    assert uncertainties(a_volume(AREAS, **{field: {3: half}}))[3] == pytest.approx(0.5, abs=0.05)


def test_an_area_that_jumps_calls_for_review() -> None:
    areas = [*AREAS]
    areas[4] = 0
    reviews = review_slices(a_volume(areas), {**PROBABILITIES, 4: np.nan}, len(AREAS))
    assert most_uncertain(reviews)[0].slice_index == 4
    assert reviews[4].reasons == ("the area jumps",)


def test_a_mask_where_no_liver_is_and_none_where_it_is() -> None:
    reviews = review_slices(a_volume(AREAS), {**PROBABILITIES, 1: 0.9, 4: 0.1}, len(AREAS))
    assert {review.slice_index for review in most_uncertain(reviews)} == {1, 4}
    assert reviews[1].reasons == reviews[4].reasons == ("mask and probability disagree",)


def test_several_small_doubts_add_up() -> None:
    one = uncertainties(a_volume(AREAS, score={3: 0.85}))[3]
    both = uncertainties(a_volume(AREAS, score={3: 0.85}, agreement={3: 0.85}))[3]
    assert both == pytest.approx(1 - (1 - one) ** 2)
    assert one < both < 2 * one


def test_what_a_person_made_or_took_away_is_not_doubted() -> None:
    worst = {"score": {3: 0.1}, "agreement": {3: 0.1}}
    assert uncertainties(a_volume(AREAS, corrected={3}, **worst))[3] == 0
    states = a_volume([0] * 8)
    states[4] = SliceState(4).cleared()
    reviews = review_slices(states, dict.fromkeys(range(8), 0.99), 8)
    assert {review.slice_index for review in most_uncertain(reviews)} == {0, 1, 2, 3, 5, 6, 7}


def test_most_uncertain_first_and_equal_ones_in_order() -> None:
    reviews = [SliceReview(index, value, ()) for index, value in enumerate([0.6, 0.9, 0.4, 0.9])]
    assert [review.slice_index for review in most_uncertain(reviews)] == [1, 3, 0]


def test_slices_that_nothing_is_known_of_are_not_doubted() -> None:
    assert [review.uncertainty for review in review_slices([], {}, 5)] == [0.0] * 5


def test_a_liver_cut_by_the_end_of_the_scan_does_not_jump() -> None:
    assert area_jumps(np.array([400.0, 350, 300, 250])).tolist() == [0, 0, 0, 0]
    assert area_jumps(np.array([400.0])).tolist() == [0]


def test_specks_do_not_count_as_jumps() -> None:
    """Five pixels more than its neighbours, in a volume with slices of a thousand."""
    assert area_jumps(np.array([4.0, 9, 4, 0, 500, 1000]))[1] == pytest.approx(0.1)


def test_doubts_are_zero_where_a_figure_is_missing() -> None:
    missing = np.full(2, np.nan)
    doubts = doubts_of(missing, np.array([0.5, np.nan]), missing, np.zeros(2), missing)
    assert doubts.tolist() == [[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]]


def test_a_result_is_rated_as_its_slices_are() -> None:
    states = a_volume(AREAS, score={3: 0.7}, agreement={5: 0.6}, cam_agreement={2: 0.1})
    reports = [SliceReport.of(state, PROBABILITIES[state.slice_index]) for state in states]
    rated = review_reports(reports)
    assert rated == review_slices(states, PROBABILITIES, len(AREAS))
    assert [review.slice_index for review in most_uncertain(rated)] == [2, 5, 3]
