"""A person's clicks in a session: what they change, what stays, what brings them back and what forgets them."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from fake_network import a_fake_model, turned_volume
from synthetic_ct import synthetic_ct

from sammix_core.boxes import Box, BoxSource, Click
from sammix_core.errors import InputError
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_state import SliceState
from sammix_core.volume.axial_order import AxialOrder

AXIAL = synthetic_ct((7, 75, 100))
CANONICAL = AxialOrder((2, 1, 0), (False, False, False))
TURNED = AxialOrder((1, 0, 2), (True, False, True))


@pytest.fixture(params=[CANONICAL, TURNED], ids=["canonical", "turned"])
def session(request: pytest.FixtureRequest) -> SegmentationSession:
    """Boxes found and segmented."""
    session = Segmenter(a_fake_model()).open_session(turned_volume(AXIAL, request.param))
    session.find_boxes()
    session.segment_boxes()
    return session


def masks(session: SegmentationSession) -> list[np.ndarray]:
    return [session.slices.plane(index) for index in range(session.boxes.slice_count)]


def half(box: Box) -> Box:
    """The first half of a box along i, as a person sets it."""
    return Box(box.slice_index, box.i_min, box.j_min, (box.i_min + box.i_max) // 2, box.j_max, BoxSource.EDITED)


def middle_of(session: SegmentationSession, index: int, region: np.ndarray) -> tuple[int, int]:
    """A voxel (i, j) of a region near its middle; the first axis of a slice's array is the second in-plane axis."""
    pixels = np.argwhere(region)
    j, i = pixels[((pixels - pixels.mean(0)) ** 2).sum(1).argmin()]
    return int(i), int(j)


@pytest.fixture
def cut(session: SegmentationSession) -> tuple[SegmentationSession, int, np.ndarray, np.ndarray]:
    """A session with a slice that lacks a half, its index, the whole mask, and the mask with the half."""
    index = sorted(session.boxes)[2]
    whole = session.slices.plane(index)
    lacking = session.segment_slice(index, half(session.boxes[index][0]))
    assert lacking.sum() < 0.8 * whole.sum()
    return session, index, whole, lacking


Cut = tuple[SegmentationSession, int, np.ndarray, np.ndarray]


def test_an_include_brings_the_missing_half_and_no_other_slice_changes(cut: Cut) -> None:
    session, index, whole, lacking = cut
    before, missing = masks(session), (whole > 0) & (lacking == 0)
    i, j = middle_of(session, index, missing)
    mask = session.add_click(index, i, j)
    assert mask[j, i]
    assert (mask[missing] > 0).mean() > 0.5
    assert (mask[whole == 0] > 0).sum() < 0.1 * missing.sum()
    assert session.clicks == (Click(index, i, j),)
    assert [np.array_equal(one, other) for one, other in zip(before, masks(session), strict=True)].count(False) == 1
    np.testing.assert_array_equal(session.slices.plane(index), mask)


def test_an_exclude_takes_out_and_removing_the_clicks_brings_everything_back(cut: Cut) -> None:
    session, index, whole, lacking = cut
    state = session.slices.state(index)
    i, j = middle_of(session, index, (whole > 0) & (lacking == 0))
    included = session.add_click(index, i, j)
    m, n = middle_of(session, index, lacking)
    both = session.add_click(index, m, n, positive=False)
    assert not both[n, m]
    assert both[j, i]
    assert both.sum() < included.sum()
    np.testing.assert_array_equal(session.remove_click(index, m, n), included)
    flipped = session.add_click(index, i, j, positive=False)
    assert session.clicks == (Click(index, i, j, positive=False),)
    assert not flipped[j, i]
    np.testing.assert_array_equal(session.remove_click(index, i, j), lacking)
    assert session.slices.state(index) == state


def test_a_slice_without_a_box_gets_a_mask_from_a_click(session: SegmentationSession) -> None:
    index = sorted(session.boxes)[2]
    whole = session.slices.plane(index)
    session.slices.put(session.slices.state(index).cleared())
    i, j = middle_of(session, index, whole)
    mask = session.add_click(index, i, j)
    assert (mask[whole > 0] > 0).mean() > 0.5
    session.find_boxes()
    session.segment_boxes()
    np.testing.assert_array_equal(session.slices.plane(index), mask)
    session.remove_click(index, i, j)
    assert session.slices.state(index).mask is None


def test_clicks_are_applied_again_to_what_is_computed_again(cut: Cut) -> None:
    session, index, whole, lacking = cut
    i, j = middle_of(session, index, (whole > 0) & (lacking == 0))
    mask = session.add_click(index, i, j)
    changed: list[int] = []
    session.find_boxes()
    session.segment_slices(range(session.boxes.slice_count), on_changed=changed.append)
    np.testing.assert_array_equal(session.slices.plane(index), mask)
    assert index in changed
    # The same from the boxes and clicks of a file, and with the clicks given beside the boxes.
    segmenter = Segmenter(a_fake_model())
    track = session.boxes.copy()
    again = segmenter.segment_volume(session.volume, boxes=track)
    np.testing.assert_array_equal(again.mask, session.result().mask)
    assert again.boxes.clicks == session.clicks
    track.put_clicks(index, [])
    beside = segmenter.segment_volume(session.volume, boxes=track, clicks=session.clicks)
    np.testing.assert_array_equal(beside.mask, session.result().mask)
    # A person's other box is a new mask to click on.
    session.segment_slice(index, replace(session.slices.automatic_boxes[index][0], source=BoxSource.EDITED))
    session.remove_click(index, i, j)
    assert (session.slices.plane(index) > 0).sum() > lacking.sum()


def test_undo_and_a_new_process_bring_clicks_back(cut: Cut) -> None:
    session, index, whole, lacking = cut
    before = session.slices.state(index)
    i, j = middle_of(session, index, (whole > 0) & (lacking == 0))
    session.add_click(index, i, j)
    after = session.slices.state(index)
    assert after.clicks == (Click(index, i, j),)
    assert after.unclicked == before.mask
    session.slices.put(before)
    assert (session.slices.state(index), session.clicks) == (before, ())
    fresh = Segmenter(a_fake_model()).open_session(session.volume)
    fresh.slices.put(pickle.loads(pickle.dumps(after)))
    assert fresh.slices.state(index) == after
    np.testing.assert_array_equal(fresh.remove_click(index, i, j), lacking)


def test_clicks_on_a_painted_mask_leave_it_as_it_was(session: SegmentationSession) -> None:
    index = sorted(session.boxes)[2]
    painted = np.zeros_like(session.slices.plane(index))
    painted[10:20, 30:40] = 1
    session.slices.put(session.slices.state(index).corrected_to(painted))
    session.add_click(index, 35, 15, positive=False)
    mask = session.slices.plane(index)
    assert not mask[15, 35]
    assert session.segment_slices([index]) == [index]
    np.testing.assert_array_equal(session.slices.plane(index), mask)
    np.testing.assert_array_equal(session.remove_click(index, 35, 15), painted)
    assert session.slices.state(index).corrected


def test_painting_and_a_reset_take_the_place_of_clicks(cut: Cut) -> None:
    session, index, whole, lacking = cut
    i, j = middle_of(session, index, (whole > 0) & (lacking == 0))
    session.add_click(index, i, j)
    state = session.slices.state(index)
    session.slices.put(state.corrected_to(whole))
    assert session.clicks == ()
    session.slices.put(state)
    session.segment_slices([index], before_slice=session.slices.reset_boxes)
    assert session.clicks == ()
    np.testing.assert_array_equal(session.slices.plane(index), whole)


def test_a_click_outside_and_one_that_is_not_there_change_nothing(session: SegmentationSession) -> None:
    index = sorted(session.boxes)[2]
    state, (first, second) = session.slices.state(index), session.slices.plane(index).shape[::-1]
    for i, j in ((first, 0), (0, second)):
        with pytest.raises(InputError, match=f"click on slice {index} reaches to"):
            session.add_click(index, i, j)
    with pytest.raises(InputError, match="Slice 999 is outside the volume"):
        session.add_click(999, 1, 1)
    with pytest.raises(InputError, match="no click on the voxel 1, 1"):
        session.remove_click(index, 1, 1)
    assert session.slices.state(index) == state
    with pytest.raises(InputError, match="click lies on slice"):
        session.slices.put(SliceState(index, clicks=(Click(index + 1, 1, 1),)))
    assert session.slices.state(index) == state
