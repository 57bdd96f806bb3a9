"""Which slices a person should look at first, and why: each sign by itself, and what is taken as right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_network import a_fake_model, turned_volume
from synthetic_ct import synthetic_ct

from sammix_core.boxes import BoxSource
from sammix_core.errors import InputError
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.review import SliceReview, VolumeReviewer, most_uncertain, review_order, reviewer
from sammix_core.segmentation.review.estimate import ErrorEstimate, shipped_estimate
from sammix_core.segmentation.review.signs import SIGNS
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_state import SliceScores, SliceState
from sammix_core.volume.axial_order import AxialOrder

SHAPE, SPACING = (9, 96, 120), (3.0, 3.0, 5.0)  # canonical (slice, row, col); mm (col, row, slice)
GOOD = SliceScores((0.97, 0.9, 0.9), 0.97, 0.97, 0.95)
STRAIGHT = AxialOrder((2, 1, 0), (False, False, False))
TURNED = AxialOrder((0, 2, 1), (True, False, True))
# As if learnt: tissue that a mask lacks counts most, what an outline always lacks counts nothing.
WEIGHTS = {
    **dict.fromkeys(SIGNS, 0.2),
    "between": 0.8,
    "beside": 0.8,
    "alone": 0.8,
    "unlike": 0.8,
    "ends": 0.05,
    "jump": 0.0,
}
ESTIMATE = ErrorEstimate(WEIGHTS, "a test")


def an_ellipse(row: float, col: float, height: float, width: float) -> np.ndarray:
    rows, cols = np.ogrid[: SHAPE[1], : SHAPE[2]]
    return ((rows - row) / height) ** 2 + ((cols - col) / width) ** 2 < 1


RIGHT_LOBE, LEFT_LOBE, SPLEEN = an_ellipse(48, 40, 24, 18), an_ellipse(40, 80, 10, 12), an_ellipse(60, 100, 10, 10)


def a_ct() -> np.ndarray:
    """Soft tissue with a liver of two parts on the slices 1 to 7, and a brighter spleen; canonical HU."""
    hu = np.random.default_rng(0).normal(0, 12, SHAPE)
    hu[1:8, RIGHT_LOBE | LEFT_LOBE] += 100
    hu[1:8, SPLEEN] += 200
    return hu.astype(np.int16)


def masks() -> np.ndarray:
    """The right masks, (slices, rows, cols) bool."""
    right = np.zeros(SHAPE, bool)
    right[1:8] = RIGHT_LOBE | LEFT_LOBE
    return right


def probabilities(shown: range = range(1, 8)) -> dict[int, float]:
    return {index: 0.99 if index in shown else 0.01 for index in range(SHAPE[0])}


def states_of(canonical: np.ndarray, order: AxialOrder = STRAIGHT) -> list[SliceState]:
    shape_kji = order.back(canonical).shape
    states = []
    for number, plane in enumerate(canonical):
        index = order.slice_index(number, (shape_kji[0], shape_kji[1], shape_kji[2]))
        packed = PackedMask.pack(np.asarray(order.slice_to_volume(plane))) if plane.any() else None
        states.append(SliceState(index, mask=packed, scores=GOOD if plane.any() else SliceScores()))
    return states


def a_reviewer(order: AxialOrder = STRAIGHT) -> VolumeReviewer:
    spacing = [0.0, 0.0, 0.0]
    for axis, mm in zip(order.axes, SPACING[::-1], strict=True):
        spacing[axis] = mm
    return VolumeReviewer(order.back(a_ct()), order, (spacing[0], spacing[1], spacing[2]), estimate=ESTIMATE)


def first(states: list[SliceState], known: dict[int, float] | None = None) -> SliceReview:
    return review_order(a_reviewer().review(states, probabilities() if known is None else known))[0]


def changed(slice_index: int, change: Callable[[np.ndarray], np.ndarray]) -> list[SliceState]:
    volume = masks()
    volume[slice_index] = change(volume[slice_index])
    return states_of(volume)


def test_a_volume_that_is_right_needs_no_review() -> None:
    reviews = a_reviewer().review(states_of(masks()), probabilities())
    assert [review.slice_index for review in reviews] == list(range(9))
    # Where the drawn liver ends without growing thin, a radiologist would look too.
    assert {review.slice_index for review in most_uncertain(reviews)} <= {0, 1, 7, 8}


@pytest.mark.parametrize("order", [STRAIGHT, TURNED])
def test_a_missing_part_comes_first_with_the_side_of_the_patient(order: AxialOrder) -> None:
    volume = masks()
    volume[4] = RIGHT_LOBE
    states = states_of(volume, order)
    known = {state.slice_index: 0.99 if state.mask else 0.01 for state in states}
    worst = review_order(a_reviewer(order).review(states, known))[0]
    assert worst.slice_index == states[4].slice_index
    assert worst.needs_review
    assert worst.reasons[0].startswith("part of the liver may be missing on the patient's left")
    assert worst.expected_wrong_px == pytest.approx(LEFT_LOBE.sum(), rel=0.4)


def test_a_slice_left_empty_between_two_that_are_not() -> None:
    worst = first(changed(4, np.zeros_like))
    assert (worst.slice_index, worst.uncertainty) == (4, 1.0)
    assert worst.reasons[0] == "the liver may be missing here: the slices above and below have it"


def test_another_organ_in_the_mask() -> None:
    worst = first(changed(3, lambda plane: plane | SPLEEN))
    assert worst.slice_index == 3
    assert any("its density differs from the liver" in reason for reason in worst.reasons)
    assert any("another organ on the patient's left" in reason for reason in worst.reasons)


def test_a_liver_that_goes_on_where_the_mask_ends() -> None:
    volume = masks()
    volume[6:] = False
    reviews = a_reviewer().review(states_of(volume), probabilities(range(1, 6)))
    assert review_order(reviews)[0].slice_index == 6
    assert reviews[6].reasons[0] == "the liver may go on here: a neighbouring slice has it"
    assert "the liver ends abruptly" in reviews[5].reasons[0]


@pytest.mark.parametrize(
    ("field", "bad", "reason"),
    [
        ("agreement", 0.5, "the three masks disagree"),
        ("score", 0.5, "the model is not sure of its mask"),
        ("cam_agreement", 0.5, "activation map and mask disagree"),
    ],
)
def test_the_models_own_doubts_count(field: str, bad: float, reason: str) -> None:
    states = states_of(masks())
    states[4] = replace(states[4], scores=replace(GOOD, **{field: bad}))
    reviews = a_reviewer().review(states, probabilities())
    assert reviews[4].reasons[0] == reason
    assert reviews[4].expected_wrong_px > 2 * reviews[3].expected_wrong_px


def test_what_a_person_made_or_took_away_is_taken_as_right() -> None:
    states = changed(4, np.zeros_like)
    assert first(states).slice_index == 4
    for by_hand in (states[4].cleared(), states[4].corrected_to(RIGHT_LOBE)):
        states[4] = by_hand
        reviews = a_reviewer().review(states, probabilities())
        assert 4 not in {review.slice_index for review in review_order(reviews)}
        assert reviews[4] == SliceReview(4, 0.0, ())


def test_a_slice_that_was_not_segmented_yet_is_neither_doubted_nor_a_neighbour() -> None:
    assert review_order(a_reviewer().review([], {})) == []
    drawn = states_of(masks())[4]
    reviews = a_reviewer().review([drawn], {})
    assert {review.slice_index for review in reviews if review.expected_wrong_px} <= {4}
    assert not reviews[4].needs_review


def test_most_wrong_first_and_equal_ones_in_order() -> None:
    reviews = [SliceReview(index, 0.5, (), px, px > 1) for index, px in enumerate([60.0, 90, 1, 90])]
    assert [review.slice_index for review in review_order(reviews)] == [1, 3, 0]


def test_an_edit_looks_at_a_slice_and_its_neighbours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, states = a_reviewer(), states_of(masks())
    kept.review(states, probabilities())
    states[4] = changed(4, lambda _: RIGHT_LOBE)[4]
    looked = []
    places_of = reviewer.places_of
    monkeypatch.setattr(reviewer, "places_of", lambda *of: (looked.append(1), places_of(*of))[1])
    after = kept.review(states, probabilities())
    assert len(looked) == 3
    assert after == a_reviewer().review(states, probabilities())


def test_places_are_as_doubtful_as_their_signs_are_worth() -> None:
    kept, states = a_reviewer(), changed(4, lambda _: RIGHT_LOBE)
    kept.review(states, probabilities())
    doubts = kept.doubts()[4]
    assert doubts[LEFT_LOBE].mean() > 0.6
    assert doubts[RIGHT_LOBE].mean() < 0.05


# Weights


def test_the_shipped_weights_count_every_sign_and_what_is_missing_most() -> None:
    weights = shipped_estimate().weights
    assert set(weights) == set(SIGNS)
    assert weights["between"] + weights["beside"] > 0
    assert shipped_estimate().learnt_from


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"map": -0.1}, "no number from 0 up"),
        ({"map": "much"}, "no number from 0 up"),
        ({"luck": 1.0}, "unknown key 'luck'"),
    ],
)
def test_weights_that_are_none_are_refused(tmp_path: Path, change: dict[str, object], match: str) -> None:
    file = tmp_path / "weights.json"
    file.write_text(json.dumps({"learnt_from": "a test", "weights": {**WEIGHTS, **change}}))
    with pytest.raises(InputError, match=match):
        ErrorEstimate.read(file)


# A session


def test_a_session_lists_slices_and_drops_those_that_a_person_corrected() -> None:
    session = SegmentationSession(a_fake_model(), turned_volume(synthetic_ct((6, 64, 80)), TURNED))
    session.find_boxes()
    reviews = session.segment_boxes().reviews
    listed = session.review()
    assert listed == [review.slice_index for review in review_order(reviews)]
    assert listed
    state = session.slices.state(listed[0])
    session.slices.put(state.corrected_to(session.slices.plane(listed[0])))
    assert listed[0] not in session.review()


def test_slices_where_a_person_clicked_or_set_a_box_come_last() -> None:
    session = SegmentationSession(a_fake_model(), turned_volume(synthetic_ct((6, 64, 80)), TURNED))
    session.find_boxes()
    session.segment_boxes()
    clicked, boxed, *others = session.review()
    row, col = np.argwhere(session.slices.plane(clicked))[0].tolist()
    session.add_click(clicked, col, row)
    session.segment_slice(boxed, [replace(box, source=BoxSource.EDITED) for box in session.boxes.on(boxed)])
    listed = session.review()
    assert set(listed) >= {clicked, boxed}, "they may still be wrong"
    assert {*listed[-2:]} == {clicked, boxed}
    assert set(listed[:-2]) <= {*others}
