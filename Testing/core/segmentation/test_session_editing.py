"""Editing a session slice by slice: corrections that stay, resets, interpolation, undo, and what a cancel keeps."""

from __future__ import annotations

import itertools
import pickle
import time

import numpy as np
import pytest
from fake_network import a_fake_model, turned_volume
from synthetic_ct import synthetic_ct

from sammix_core.boxes import Box, BoxSource
from sammix_core.errors import Cancelled, InputError
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_state import UNSCORED, SliceState
from sammix_core.volume.axial_order import AxialOrder

AXIAL = synthetic_ct((7, 75, 100))
CANONICAL = AxialOrder((2, 1, 0), (False, False, False))
TURNED = AxialOrder((1, 0, 2), (True, False, True))


def a_session(order: AxialOrder = CANONICAL) -> SegmentationSession:
    return Segmenter(a_fake_model()).open_session(turned_volume(AXIAL, order))


@pytest.fixture(params=[CANONICAL, TURNED], ids=["canonical", "turned"])
def session(request: pytest.FixtureRequest) -> SegmentationSession:
    """Boxes found and segmented."""
    session = a_session(request.param)
    session.find_boxes()
    session.segment_boxes()
    return session


def masks(session: SegmentationSession) -> list[np.ndarray]:
    return [session.slices.plane(index) for index in range(session.boxes.slice_count)]


def smaller(box: Box, source: BoxSource = BoxSource.EDITED) -> Box:
    return Box(box.slice_index, box.i_min, box.j_min, box.i_max - 6, box.j_max - 6, source)


def others_are_the_same(before: list[np.ndarray], after: list[np.ndarray], changed: set[int]) -> bool:
    return all(np.array_equal(before[index], after[index]) == (index not in changed) for index in range(len(before)))


# States: undo, saving, a new process


def test_every_slice_goes_into_its_state_and_back(session: SegmentationSession) -> None:
    index = sorted(session.boxes)[1]
    session.segment_slice(index, smaller(session.boxes[index][0]))
    states = [session.slices.state(k) for k in range(session.boxes.slice_count)]
    assert sum(state.area_px for state in states) == session.result().mask.sum()
    assert [box.source for box in states[index].boxes] == [BoxSource.EDITED]
    assert [box.source for box in states[index].automatic_boxes] == [BoxSource.AUTO]

    fresh = Segmenter(a_fake_model()).open_session(session.volume)
    for state in pickle.loads(pickle.dumps(states)):
        fresh.slices.put(state)
    assert [fresh.slices.state(k) for k in range(len(states))] == states
    np.testing.assert_array_equal(fresh.result().mask, session.result().mask)
    assert fresh.boxes == session.boxes


def test_an_edit_is_undone_by_its_slice_alone(session: SegmentationSession) -> None:
    before, index = masks(session), sorted(session.boxes)[2]
    state = session.slices.state(index)
    session.segment_slice(index, smaller(session.boxes[index][0]))
    assert others_are_the_same(before, masks(session), {index})
    session.slices.put(state)
    assert others_are_the_same(before, masks(session), set())
    assert session.slices.state(index) == state


def test_a_state_that_does_not_fit_changes_nothing(session: SegmentationSession) -> None:
    before, index = session.slices.state(3), 3
    with pytest.raises(InputError, match="outside the volume"):
        session.slices.put(SliceState(99))
    with pytest.raises(InputError, match="mask of slice 3"):
        session.slices.put(SliceState(index, mask=PackedMask.pack(np.ones((4, 4)))))
    with pytest.raises(InputError, match="on slice 2, not on slice 3"):
        session.slices.put(SliceState(index, boxes=(Box(2, 1, 1, 5, 5),)))
    with pytest.raises(InputError, match="outside the slice"):
        session.slices.put(SliceState(index, boxes=(Box(index, 1, 1, 500, 5),)))
    assert session.slices.state(index) == before


def test_the_figures_of_a_mask_are_kept_and_reported(session: SegmentationSession) -> None:
    reports = session.result().slices
    for index in session.boxes:
        state = session.slices.state(index)
        # m2 is smaller and m3 larger than m1, so they never agree wholly; map and mask see the same brightness.
        assert 0.5 < state.scores.agreement < 1  # type: ignore[operator]
        assert 0.8 < state.scores.cam_agreement <= 1  # type: ignore[operator]
        assert (reports[index].scores.agreement, reports[index].scores.cam_agreement) == (
            state.scores.agreement,
            state.scores.cam_agreement,
        )


# Taking away, resetting


def test_a_cleared_slice_gets_no_automatic_box_again(session: SegmentationSession) -> None:
    before, index = masks(session), sorted(session.boxes)[2]
    automatic = session.boxes[index]
    session.slices.put(session.slices.state(index).cleared())
    assert others_are_the_same(before, masks(session), {index})
    session.find_boxes()
    session.segment_boxes()
    state = session.slices.state(index)
    assert (state.boxes, state.mask, state.deleted, state.automatic_boxes) == ((), None, True, automatic)


@pytest.mark.parametrize("change", ["edited", "cleared"])
def test_a_slice_is_reset_to_its_automatic_box(session: SegmentationSession, change: str) -> None:
    before, index = masks(session), sorted(session.boxes)[2]
    state = session.slices.state(index)
    if change == "edited":
        session.segment_slice(index, smaller(session.boxes[index][0]))
    else:
        session.slices.put(state.cleared())
    session.segment_slices([index], before_slice=session.slices.reset_boxes)
    assert session.slices.state(index) == state
    assert others_are_the_same(before, masks(session), set())


def test_a_reset_without_an_automatic_box_empties_the_slice() -> None:
    session = a_session()
    session.segment_slice(3, Box(3, 10, 5, 70, 70, BoxSource.EDITED))
    changed: list[int] = []
    session.segment_slices([3], on_changed=changed.append, before_slice=session.slices.reset_boxes)
    assert session.slices.state(3) == SliceState(3)
    assert changed == [3]


def test_automatic_boxes_are_those_of_the_last_search(session: SegmentationSession) -> None:
    found = dict(session.slices.automatic_boxes)
    index = sorted(found)[1]
    session.segment_slice(index, smaller(found[index][0]))
    assert session.slices.automatic_boxes == found
    stale = Box(0, 1, 1, 9, 9, BoxSource.AUTO)
    assert 0 not in found
    session.boxes.set(stale)
    session.find_boxes()
    assert session.slices.automatic_boxes == found
    assert 0 not in session.boxes, "an automatic box that no search finds any more stayed"
    assert session.boxes[index][0].source is BoxSource.EDITED


# Corrected by hand


@pytest.fixture
def corrected(session: SegmentationSession) -> tuple[SegmentationSession, int, SliceState]:
    """A session with a slice that a person painted."""
    index = sorted(session.boxes)[2]
    painted = np.zeros_like(session.slices.plane(index))
    painted[10:20, 30:40] = 1
    session.slices.put(session.slices.state(index).corrected_to(painted))
    return session, index, session.slices.state(index)


def test_a_corrected_slice_says_so_and_has_no_scores(corrected: tuple[SegmentationSession, int, SliceState]) -> None:
    session, index, state = corrected
    assert state.corrected
    assert (state.area_px, state.scores) == (100, UNSCORED)
    assert session.result().slices[index].area_px == 100


def test_a_run_leaves_corrected_slices_alone(corrected: tuple[SegmentationSession, int, SliceState]) -> None:
    session, index, state = corrected
    before = masks(session)
    session.find_boxes()
    assert session.segment_slices(range(session.boxes.slice_count)) == [index]
    assert session.slices.state(index) == state
    assert others_are_the_same(before, masks(session), set())


def test_a_corrected_slice_is_replaced_only_by_force(corrected: tuple[SegmentationSession, int, SliceState]) -> None:
    session, index, state = corrected
    box = smaller(session.slices.automatic_boxes[index][0])
    with pytest.raises(InputError, match=f"Slice {index} was corrected by hand"):
        session.segment_slice(index, box)
    assert session.slices.state(index) == state
    plane = session.segment_slice(index, box, force=True)
    now = session.slices.state(index)
    assert (now.corrected, now.boxes, now.area_px) == (False, (box,), plane.sum())
    assert now.scores.score is not None
    session.slices.put(state)
    assert session.segment_slices([index], force=True) == []
    assert not session.slices.state(index).corrected


# Interpolated


def test_boxes_between_keyframes_are_segmented_and_nothing_else(session: SegmentationSession) -> None:
    before = masks(session)
    first, last = sorted(session.boxes)[0], sorted(session.boxes)[-1]
    for index in (first, last):
        session.segment_slice(index, smaller(session.boxes[index][0]))
    keyframes = {index: session.slices.state(index) for index in (first, last)}
    between = session.boxes.copy()
    filled = between.interpolate()
    assert filled == list(range(first + 1, last))
    changed: list[int] = []
    session.segment_slices(filled, on_changed=changed.append, before_slice=lambda k: session.boxes.update(between[k]))
    assert changed == filled
    assert {box.source for index in filled for box in session.boxes[index]} == {BoxSource.INTERPOLATED}
    assert {index: session.slices.state(index) for index in (first, last)} == keyframes
    outside = [index for index in range(len(before)) if not first <= index <= last]
    assert outside
    assert all(np.array_equal(before[index], session.slices.plane(index)) for index in outside)


# Cancelling and going on


def test_a_cancelled_search_is_taken_up_where_it_stopped() -> None:
    session = a_session()
    seen: list[int] = []
    asked = itertools.count()
    with pytest.raises(Cancelled):
        session.find_boxes(cancel=lambda: next(asked) >= 3, on_probability=lambda index, _: seen.append(index))
    assert seen == [0, 2, 4], "the search looks at some slices first"
    assert 3 <= session.result().slices_encoded < 7, "some were worked on ahead"
    seen.clear()
    probabilities: dict[int, float] = {}
    session.find_boxes(on_probability=probabilities.__setitem__)
    assert session.result().slices_encoded == 7, "slices were encoded twice"
    assert sorted(probabilities) == list(range(7))
    assert probabilities[3] > 0.9 > 0.1 > probabilities[0]


def test_a_cancelled_segmentation_keeps_new_and_old_masks() -> None:
    session = a_session()
    session.find_boxes()
    order = sorted(session.boxes)
    changed: list[int] = []
    asked = itertools.count()
    with pytest.raises(Cancelled):
        session.segment_slices(order, cancel=lambda: next(asked) >= 2, on_changed=changed.append)
    assert changed == order[:2]
    assert all(session.slices.plane(index).any() == (index in changed) for index in order)
    session.segment_slices(order)
    whole = masks(session)
    asked = itertools.count()
    with pytest.raises(Cancelled):
        session.segment_slices(order, cancel=lambda: next(asked) >= 1)
    assert others_are_the_same(whole, masks(session), set()), "a cancelled run took away what was there"


def test_what_the_guidance_found_is_handed_to_another_session(session: SegmentationSession) -> None:
    index = sorted(session.boxes)[2]
    box = smaller(session.boxes[index][0])
    saved = pickle.loads(pickle.dumps(session.guidance))
    other = Segmenter(a_fake_model()).open_session(session.volume)
    alone = other.cam_slice(index)
    assert not alone.any()
    other.restore_guidance(saved)
    np.testing.assert_array_equal(other.segment_slice(index, box), session.segment_slice(index, box))
    assert other.slices.state(index).scores.cam_agreement == session.slices.state(index).scores.cam_agreement
    np.testing.assert_array_equal(other.cam_slice(index), session.cam_slice(index))
    assert saved.probabilities(session.volume.shape_kji) == {
        report.slice_index: report.probability for report in session.result().slices
    }


def test_a_map_lies_on_the_users_slice(session: SegmentationSession) -> None:
    """On the mask that it made, whichever way the slices are turned."""
    index = sorted(session.boxes)[2]
    cam, mask = session.cam_slice(index) > 0.5, session.slices.plane(index) > 0
    assert cam.shape == mask.shape
    assert 2 * (cam & mask).sum() / (cam.sum() + mask.sum()) > 0.9


@pytest.mark.parametrize("searched", [False, True])
def test_an_edit_of_a_prepared_slice_encodes_nothing(searched: bool) -> None:
    session = a_session()
    if searched:
        session.find_boxes()
        session.forget_embeddings()
    session.prepare_slice(3)
    encoded = session.result().slices_encoded
    assert encoded == (8 if searched else 1)
    session.segment_slice(3, Box(3, 10, 5, 70, 70, BoxSource.EDITED))
    assert session.result().slices_encoded == encoded


def test_forgotten_embeddings_are_made_again(session: SegmentationSession) -> None:
    before, encoded = masks(session), session.result().slices_encoded
    assert session.embedding_bytes > 0
    session.forget_embeddings()
    assert session.embedding_bytes == 0
    index = sorted(session.boxes)[0]
    session.segment_slices([index])
    assert session.result().slices_encoded == encoded + 1
    assert others_are_the_same(before, masks(session), set())


@pytest.mark.alone
def test_what_surrounds_the_network_takes_milliseconds_in_a_large_volume() -> None:
    """One slice of 512 x 512 x 300, turned: an edit that copied the volume would take a hundred times longer."""
    order = AxialOrder((1, 2, 0), (True, False, True))
    axial = np.broadcast_to(synthetic_ct((1, 512, 512)), (300, 512, 512))
    session = Segmenter(a_fake_model()).open_session(turned_volume(axial, order))
    box = Box(200, 40, 60, 300, 340, BoxSource.EDITED)
    session.segment_slice(200, box)
    session.slices.state(200)
    fastest = min(_seconds(lambda: session.slices.state(200)) for _ in range(5))
    assert fastest < 0.02


def _seconds(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started
