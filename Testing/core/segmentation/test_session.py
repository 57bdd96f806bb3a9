"""A session, with a network that needs no weights: grids, boxes, edits, cancelling, and two sessions side by side."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_network import FakeBackend, FakeGuidance, a_fake_model, turned_volume
from image_files import rotation
from synthetic_ct import LIVER, synthetic_ct

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.errors import Cancelled, InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.progress import Progress
from sammix_core.sam.decoding import MaskSettings
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import EVERY_SLICE
from sammix_core.segmentation.slice_state import UNSCORED
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

AXIAL = synthetic_ct((7, 75, 100))  # 5 x 1.6 x 1.1 mm: slices thick, pixels not square
CANONICAL = AxialOrder((2, 1, 0), (False, False, False))
ORDERS = [
    AxialOrder(axes, flips)
    for axes in itertools.permutations((0, 1, 2))
    for flips in itertools.product((False, True), repeat=3)
]


@pytest.fixture
def volume() -> Volume:
    return turned_volume(AXIAL, CANONICAL)


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(a_fake_model())


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    """The mask in canonical order."""
    return Segmenter(a_fake_model()).segment_volume(turned_volume(AXIAL, CANONICAL)).mask


def liver(axial: np.ndarray = AXIAL) -> np.ndarray:
    return abs(axial - LIVER) < 35


def test_the_mask_is_the_liver(reference: np.ndarray) -> None:
    assert reference.dtype == np.uint8
    assert set(np.unique(reference)) == {0, 1}
    inner = liver() & (reference > 0)
    assert inner.sum() / liver().sum() > 0.9
    assert inner.sum() / reference.sum() > 0.9


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.axes}{order.flips}")
def test_all_48_ways_to_store_a_volume_give_the_same_mask(order: AxialOrder, reference: np.ndarray) -> None:
    volume = turned_volume(AXIAL, order)
    assert volume.axial_order == order
    result = Segmenter(a_fake_model()).segment_volume(volume)
    assert result.mask.shape == volume.array.shape
    assert result.mask.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(result.mask, order.back(reference))


@pytest.mark.parametrize("order", ORDERS[::7], ids=lambda order: f"{order.axes}{order.flips}")
def test_boxes_and_reports_are_in_the_users_indices(order: AxialOrder) -> None:
    volume = turned_volume(AXIAL, order)
    result = Segmenter(a_fake_model()).segment_volume(volume)
    axis = "kji".index(order.slice_axis)
    assert [report.slice_index for report in result.slices] == list(range(volume.array.shape[axis]))
    assert result.boxes.slice_axis == order.slice_axis
    found = 0
    for report in result.slices:
        plane = np.take(result.mask, report.slice_index, axis=axis)
        assert report.area_px == plane.sum()
        assert report.boxes == result.boxes.on(report.slice_index)
        if not report.boxes:
            assert (report.scores, report.area_px) == (UNSCORED, 0)
            continue
        found += 1
        assert report.scores.score == pytest.approx(0.9)
        assert report.probability > 0.5
        rows, cols = np.nonzero(plane)
        i_min, j_min, i_max, j_max = report.boxes[0].edges
        # A mask may reach past its box by the margin of 3 network pixels, less than 2 of these pixels.
        assert i_min - 2 <= cols.min() <= cols.max() < i_max + 2
        assert j_min - 2 <= rows.min() <= rows.max() < j_max + 2
    assert found >= 4


def test_an_oblique_volume_is_cut_along_its_nearest_axial_axis(reference: np.ndarray) -> None:
    """Turned by up to 31 degrees, it has the same voxels, so it gets the same mask."""
    for order in ORDERS[::11]:
        volume = turned_volume(AXIAL, order, rotation=rotation())
        assert not np.allclose(abs(volume.direction), abs(volume.direction).round())
        result = Segmenter(a_fake_model()).segment_volume(volume)
        assert result.boxes.slice_axis == order.slice_axis
        np.testing.assert_array_equal(result.mask, order.back(reference))


def test_what_a_result_says_of_itself(segmenter: Segmenter, volume: Volume) -> None:
    result = segmenter.segment_volume(volume)
    assert (result.model, result.guidance, result.device) == ("fake/1.0.0", "fake_cam", "cpu")
    # Slices without any sign of liver are forgotten and never needed again.
    assert result.slices_encoded == len(AXIAL) == segmenter.model.backend.encoded  # type: ignore[attr-defined]
    assert {"guidance", "segmentation"} <= result.seconds.keys()
    assert result.notes == []


def test_the_map_lies_on_the_slices_own_pixels(segmenter: Segmenter, volume: Volume) -> None:
    result = segmenter.segment_volume(volume)
    middle = len(AXIAL) // 2
    cam = result.cam_slice(middle)
    assert cam.shape == AXIAL.shape[1:]
    assert cam.dtype == np.float32
    assert cam.min() >= 0
    assert cam.max() <= 1
    overlap = 2 * ((cam > 0.5) & liver()[middle]).sum() / ((cam > 0.5).sum() + liver()[middle].sum())
    assert overlap > 0.85


# Boxes from a person


def test_boxes_through_json_give_the_same_mask(segmenter: Segmenter, volume: Volume) -> None:
    first = segmenter.segment_volume(volume)
    boxes = BoxTrack.from_json(json.loads(json.dumps(first.boxes.to_json())))
    again = segmenter.segment_volume(volume, boxes=boxes)
    np.testing.assert_array_equal(again.mask, first.mask)
    assert again.boxes == first.boxes


def test_a_slice_without_a_box_gets_no_mask(segmenter: Segmenter, volume: Volume) -> None:
    first = segmenter.segment_volume(volume)
    boxes = first.boxes.copy()
    gone = list(boxes)[1]
    boxes.delete(gone)
    again = segmenter.segment_volume(volume, boxes=boxes)
    assert first.mask[gone].any()
    assert not again.mask[gone].any()
    others = np.arange(len(AXIAL)) != gone
    np.testing.assert_array_equal(again.mask[others], first.mask[others])


def test_no_box_at_all_gives_an_empty_mask(segmenter: Segmenter, volume: Volume) -> None:
    result = segmenter.segment_volume(volume, boxes=BoxTrack((100, 75, 7)))
    assert not result.mask.any()
    assert len(result.boxes) == 0


def test_an_edited_box_is_used_as_it_is(segmenter: Segmenter, volume: Volume) -> None:
    """Half of the liver's box gives half of the liver."""
    first = segmenter.segment_volume(volume)
    k = len(AXIAL) // 2
    (box,) = first.boxes[k]
    middle = (box.i_min + box.i_max) // 2
    boxes = first.boxes.copy()
    boxes.set(Box(k, box.i_min, box.j_min, middle, box.j_max, BoxSource.EDITED))
    again = segmenter.segment_volume(volume, boxes=boxes)
    assert again.boxes[k] == boxes[k]
    assert not again.mask[k][:, middle + 2 :].any()
    np.testing.assert_array_equal(again.mask[k][:, : middle - 2], first.mask[k][:, : middle - 2])
    others = np.arange(len(AXIAL)) != k
    np.testing.assert_array_equal(again.mask[others], first.mask[others])


def test_boxes_of_another_grid_are_refused(segmenter: Segmenter, volume: Volume) -> None:
    with pytest.raises(InputError, match="100 x 75 x 8"):
        segmenter.segment_volume(volume, boxes=BoxTrack((100, 75, 8)))
    assert segmenter.model.backend.encoded == 0  # type: ignore[attr-defined]


def test_a_users_boxes_are_not_changed(segmenter: Segmenter, volume: Volume) -> None:
    boxes = BoxTrack((100, 75, 7), boxes=[Box(3, 10, 10, 60, 60, BoxSource.EDITED)])
    before = boxes.copy()
    segmenter.segment_volume(volume, boxes=boxes)
    assert boxes == before


def test_a_person_deletes_and_edits_before_boxes_are_found(segmenter: Segmenter, volume: Volume) -> None:
    found = segmenter.segment_volume(volume).boxes
    first, second = list(found)[:2]
    session = segmenter.open_session(volume)
    session.boxes.delete(first)
    session.boxes.set(Box(second, 1, 2, 30, 40, BoxSource.EDITED))
    session.find_boxes()
    assert first not in session.boxes
    assert session.boxes[second][0].edges == (1, 2, 30, 40)
    assert set(session.boxes) == set(found) - {first}


# Slice by slice


@pytest.mark.parametrize("order", ORDERS[::9], ids=lambda order: f"{order.axes}{order.flips}")
def test_one_slice_changes_no_other(order: AxialOrder) -> None:
    volume = turned_volume(AXIAL, order)
    session = Segmenter(a_fake_model()).open_session(volume)
    session.find_boxes()
    before = session.segment_boxes().mask
    axis = "kji".index(order.slice_axis)
    index = sorted(session.boxes)[2]
    (old,) = session.boxes[index]
    box = Box(index, old.i_min, old.j_min, old.i_max - 6, old.j_max, BoxSource.EDITED)
    plane = session.segment_slice(index, box)
    after = session.result()
    assert plane.dtype == np.uint8
    np.testing.assert_array_equal(plane, np.take(after.mask, index, axis=axis))
    assert (plane != np.take(before, index, axis=axis)).any()
    others = np.arange(before.shape[axis]) != index
    np.testing.assert_array_equal(np.compress(others, after.mask, axis=axis), np.compress(others, before, axis=axis))
    assert after.boxes[index] == (box,)


def test_a_slice_is_answered_from_the_cache(segmenter: Segmenter, volume: Volume) -> None:
    session = segmenter.open_session(volume)
    session.find_boxes()
    session.segment_boxes()
    encoded = session.result().slices_encoded
    for k in session.boxes:
        session.segment_slice(k, Box(k, 20, 15, 60, 60, BoxSource.EDITED))
    assert session.result().slices_encoded == encoded


def test_a_slice_that_seemed_empty_is_encoded_again(segmenter: Segmenter) -> None:
    without = np.where(liver(), 40, AXIAL).astype(np.int16)
    session = segmenter.open_session(turned_volume(np.concatenate([AXIAL, without]), CANONICAL), sampling=EVERY_SLICE)
    session.find_boxes()
    for encoded in (14, 15, 15):  # an edited slice is not encoded again
        assert session.result().slices_encoded == encoded
        session.segment_slice(12, Box(12, 20, 15, 60, 60, BoxSource.EDITED))


def test_the_same_box_gives_the_same_mask_edited_or_not(segmenter: Segmenter, volume: Volume) -> None:
    """As far as the map's support takes nothing away, which holds for a ball."""
    session = segmenter.open_session(volume)
    session.find_boxes()
    before = session.segment_boxes().mask
    k = sorted(session.boxes)[1]
    session.segment_slice(k, Box(k, *session.boxes[k][0].edges, BoxSource.EDITED))
    np.testing.assert_array_equal(session.result().mask, before)


def test_a_slice_can_be_segmented_before_anything_else(segmenter: Segmenter, volume: Volume) -> None:
    session = segmenter.open_session(volume)
    plane = session.segment_slice(3, Box(3, 10, 5, 70, 70, BoxSource.EDITED))
    assert plane.any()
    result = session.result()
    assert result.slices_encoded == 1
    assert result.mask.sum() == plane.sum()
    assert math.isnan(result.slices[3].probability)
    assert not result.cam_slice(3).any()


def test_a_box_that_ends_where_nothing_is_empties_the_slice(segmenter: Segmenter, volume: Volume) -> None:
    session = segmenter.open_session(volume)
    session.find_boxes()
    session.segment_boxes()
    plane = session.segment_slice(3, Box(3, 0, 0, 3, 3, BoxSource.EDITED))
    assert not plane.any()
    assert session.result().slices[3].area_px == 0


@pytest.mark.parametrize("source", [BoxSource.AUTO, BoxSource.INTERPOLATED])
def test_a_persons_box_is_not_replaced_by_a_guess(segmenter: Segmenter, volume: Volume, source: BoxSource) -> None:
    session = segmenter.open_session(volume)
    session.segment_slice(3, Box(3, 10, 5, 70, 70, BoxSource.EDITED))
    before = session.result()
    with pytest.raises(InputError, match="Slice 3 has a box of yours"):
        session.segment_slice(3, Box(3, 20, 5, 40, 40, source))
    assert session.boxes[3][0].edges == (10, 5, 70, 70)
    np.testing.assert_array_equal(session.result().mask, before.mask)


@pytest.mark.parametrize(
    ("index", "box", "match"),
    [
        (2, Box(3, 10, 10, 20, 20, BoxSource.EDITED), "on slice 3, not on slice 2"),
        (7, Box(7, 10, 10, 20, 20, BoxSource.EDITED), "Slice 7 is outside"),
        (3, Box(3, 10, 10, 101, 20, BoxSource.EDITED), "outside the slice"),
    ],
)
def test_a_box_on_a_wrong_slice_or_outside_is_refused(
    segmenter: Segmenter, volume: Volume, index: int, box: Box, match: str
) -> None:
    session = segmenter.open_session(volume)
    with pytest.raises(InputError, match=match):
        session.segment_slice(index, box)
    assert len(session.boxes) == 0
    assert not session.result().mask.any()


# Where the header has lost the orientation


class OneWayUp(FakeGuidance):
    """Sees a liver only where it lies on the left of the picture and the spine, brightest of all, at the bottom."""

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        found = super().maps(images, embeddings)
        spine_rows = torch.nonzero(images[0, 0] > 0.95)[:, 0].float()
        liver_cols = np.nonzero(found.cam_logits[0] > 0)[1]
        right = len(spine_rows) > 0 and spine_rows.mean() > 128 and len(liver_cols) > 0 and liver_cols.mean() < 32
        return found if right else GuidanceMaps(np.full_like(found.cam_logits, -6), np.zeros(1, np.float32))


FLIPS = list(itertools.product((False, True), repeat=2))


def lost(row_flip: bool, col_flip: bool) -> Volume:
    """A volume stored with flips that its header, an identity, says nothing of."""
    stored = AXIAL[:, :: -1 if row_flip else 1, :: -1 if col_flip else 1]
    return replace(turned_volume(np.ascontiguousarray(stored), CANONICAL), spacing_known=False)


@pytest.mark.parametrize(("row_flip", "col_flip"), FLIPS)
def test_a_volume_that_lost_its_orientation_is_turned_to_be_understood(
    reference: np.ndarray, row_flip: bool, col_flip: bool
) -> None:
    result = Segmenter(a_fake_model(guidance=OneWayUp())).segment_volume(lost(row_flip, col_flip))
    np.testing.assert_array_equal(result.mask, reference[:, :: -1 if row_flip else 1, :: -1 if col_flip else 1])
    assert len(result.notes) == (row_flip or col_flip)
    assert all("the mask is on the file's own grid" in note for note in result.notes)


def test_a_real_header_is_never_second_guessed() -> None:
    volume = replace(lost(True, False), spacing_known=True)
    assert not Segmenter(a_fake_model(guidance=OneWayUp())).segment_volume(volume).mask.any()


def test_what_was_segmented_before_stays_where_it_was_when_a_volume_is_turned() -> None:
    session = Segmenter(a_fake_model(guidance=OneWayUp())).open_session(lost(True, True))
    box = Box(3, 30, 10, 95, 70, BoxSource.EDITED)
    plane = session.segment_slice(3, box)
    assert plane.any()
    session.find_boxes()
    np.testing.assert_array_equal(session.result().mask[3], plane)
    # The embedding is that of the turned slice now.
    again = session.segment_slice(3, box)
    assert 2 * (again & plane).sum() / (again.sum() + plane.sum()) > 0.95


def test_a_cancel_while_looking_which_way_up_changes_nothing() -> None:
    session = Segmenter(a_fake_model(guidance=OneWayUp())).open_session(lost(False, True))
    asked = itertools.count()
    with pytest.raises(Cancelled):
        session.find_boxes(cancel=lambda: next(asked) >= 6)
    assert session.result().axial_order == CANONICAL
    for _ in range(2):
        session.find_boxes()
    result = session.segment_boxes()
    assert result.axial_order == AxialOrder((2, 1, 0), (False, False, True))
    assert len(result.notes) == 1


# Results, sessions, cancelling


def test_a_result_is_not_changed_by_what_comes_after(segmenter: Segmenter, volume: Volume) -> None:
    session = segmenter.open_session(volume)
    session.find_boxes()
    first = session.segment_boxes()
    mask, boxes = first.mask.copy(), first.boxes.copy()
    session.segment_slice(3, Box(3, 0, 0, 9, 9, BoxSource.EDITED))
    session.boxes.delete(2)
    np.testing.assert_array_equal(first.mask, mask)
    assert first.boxes == boxes


def test_two_sessions_live_side_by_side(segmenter: Segmenter, volume: Volume, reference: np.ndarray) -> None:
    other_axial = np.ascontiguousarray(AXIAL[:5, ::-1, ::-1])
    other_volume = turned_volume(other_axial, CANONICAL)
    expected = segmenter.segment_volume(other_volume).mask
    sessions = [segmenter.open_session(one) for one in (volume, other_volume)]
    for session in sessions:
        session.find_boxes()
    for session in sessions[::-1]:
        session.segment_boxes()
    sessions[1].segment_slice(3, Box(3, 0, 0, 9, 9, BoxSource.EDITED))
    np.testing.assert_array_equal(sessions[0].result().mask, reference)
    np.testing.assert_array_equal(sessions[1].result().mask[:3], expected[:3])


def test_a_small_cache_changes_no_mask(volume: Volume, reference: np.ndarray) -> None:
    model = a_fake_model()
    one_embedding = 64 * 64 * 16 * 2
    session = SegmentationSession(model, volume, limit_bytes=2 * one_embedding)
    session.find_boxes()
    np.testing.assert_array_equal(session.segment_boxes().mask, reference)
    assert session.result().slices_encoded > len(AXIAL)


def test_embeddings_made_before_are_taken(segmenter: Segmenter, volume: Volume, reference: np.ndarray) -> None:
    first = segmenter.open_session(volume)
    kept = [first._cache.embedding(index)[0].to("cpu").numpy().astype(np.float16) for index in range(len(AXIAL))]
    model = a_fake_model()
    session = Segmenter(model).open_session(volume)
    for index, embedding in enumerate(kept):
        session.preload(index, embedding)
    session.find_boxes()
    np.testing.assert_array_equal(session.segment_boxes().mask, reference)
    assert isinstance(model.backend, FakeBackend)
    assert model.backend.encoded == 0


def test_progress_tells_each_slice_and_ends_at_the_end(segmenter: Segmenter, volume: Volume) -> None:
    seen: list[Progress] = []
    result = segmenter.segment_volume(volume, progress=seen.append)
    stages = list(dict.fromkeys(one.stage for one in seen))
    assert stages == ["Looking for the liver", "Segmenting"]
    for stage, total in zip(stages, (len(AXIAL), len(result.boxes)), strict=True):
        steps = [one for one in seen if one.stage == stage]
        assert [one.done for one in steps] == list(range(total + 1))
        assert {one.total for one in steps} == {total}
        assert steps[0].seconds_left is None
        assert steps[-1].seconds_left == 0


@pytest.mark.parametrize("asked_after", [0, 1, 4, 9, 12])
def test_cancelling_stops_within_a_slice(segmenter: Segmenter, volume: Volume, asked_after: int) -> None:
    asked = itertools.count()
    with pytest.raises(Cancelled):
        segmenter.segment_volume(volume, cancel=lambda: next(asked) >= asked_after)
    assert next(asked) == asked_after + 1, "it went on after it was asked to stop"


def test_a_session_goes_on_after_a_cancel(segmenter: Segmenter, volume: Volume, reference: np.ndarray) -> None:
    session = segmenter.open_session(volume)
    asked = itertools.count()
    with pytest.raises(Cancelled):
        session.find_boxes(cancel=lambda: next(asked) >= 3)
    assert len(session.boxes) == 0
    session.find_boxes()
    asked = itertools.count()
    with pytest.raises(Cancelled):
        session.segment_boxes(cancel=lambda: next(asked) >= 2)
    np.testing.assert_array_equal(session.segment_boxes().mask, reference)


def test_no_liver_is_an_empty_mask_and_a_sentence(segmenter: Segmenter) -> None:
    without = np.where(liver(), 40, AXIAL).astype(np.int16)
    result = segmenter.segment_volume(turned_volume(without, CANONICAL))
    assert not result.mask.any()
    assert result.mask.shape == AXIAL.shape
    assert len(result.boxes) == 0
    assert result.notes == ["No liver was found; the mask is empty."]
    assert all(report.probability < 0.5 and report.scores.score is None for report in result.slices)


def test_one_slice_alone(segmenter: Segmenter) -> None:
    middle = AXIAL[3:4]
    result = segmenter.segment_volume(turned_volume(middle, CANONICAL))
    inner = (result.mask > 0) & liver(middle)
    assert inner.sum() / liver(middle).sum() > 0.95


def test_padding_of_minus_3024_changes_nothing(segmenter: Segmenter, reference: np.ndarray) -> None:
    rows, cols = np.mgrid[-1 : 1 : AXIAL.shape[1] * 1j, -1 : 1 : AXIAL.shape[2] * 1j]
    padded = np.where(rows**2 + cols**2 > 1.05, -3024, AXIAL).astype(np.int16)
    assert (padded == -3024).any()
    np.testing.assert_array_equal(segmenter.segment_volume(turned_volume(padded, CANONICAL)).mask, reference)


def test_the_mean_of_three_masks_reports_their_mean_score(volume: Volume) -> None:
    result = Segmenter(a_fake_model(masks=MaskSettings(choice="mean"))).segment_volume(volume)
    report = next(one for one in result.slices if one.boxes)
    assert report.scores.mask_scores == pytest.approx((0.9, 0.7, 0.8))
    assert report.scores.score == pytest.approx(0.8)
