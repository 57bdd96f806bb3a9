"""Slices with several boxes: one mask of all, from one embedding, what a person did kept, parts followed along z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from fake_network import FakeBackend, FakeGuidance, a_fake_model

from sammix_core.boxes import Box, BoxSource, NetworkBox
from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.sam.decoding import DecodedSlices
from sammix_core.segmentation.review import VolumeReviewer
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import DEFAULT_SAMPLING, EVERY_SLICE, SliceSampling
from sammix_core.volume.volume import Volume

LIVER_HU, FAT_HU = 110, -90
LARGE, SMALL = (6, 12, 30, 52), (42, 16, 54, 28)  # edges in voxels
SPLIT = BoxSettings(split=True, component_share=0.0, least_support=0.0)


def a_volume(slices: int = 3, small_on: Sequence[int] | None = None, slice_mm: float = 5.0) -> Volume:
    """A large part of a liver on every slice, a small one beside it on some."""
    axial = np.full((slices, 64, 64), FAT_HU, np.int16)
    for part, on in ((LARGE, range(slices)), (SMALL, range(slices) if small_on is None else small_on)):
        i_min, j_min, i_max, j_max = part
        for k in on:
            axial[k, j_min:j_max, i_min:i_max] = LIVER_HU
    return Volume(axial, (4.0, 4.0, slice_mm), (0.0, 0.0, 0.0), np.eye(3))


class Counting(FakeBackend):
    """Remembers how many boxes were decoded in each call, and whether with the map."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, bool]] = []

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`; a mask's score grows with its box."""
        self.calls.append((len(boxes), mask_logits is not None))
        assert len(embeddings) == len(boxes)
        logits, scores = super().decode(embeddings, boxes, mask_logits)
        return logits, scores * (boxes[:, 2:3] - boxes[:, :1]).clamp(max=100) / 100


def box(part: int, edges: tuple[int, int, int, int], source: BoxSource = BoxSource.EDITED, k: int = 1) -> Box:
    return Box(k, *edges, source, part=part)


@pytest.fixture
def backend() -> Counting:
    return Counting()


@pytest.fixture
def session(backend: Counting) -> SegmentationSession:
    return SegmentationSession(a_fake_model(backend=backend, boxes=SPLIT), a_volume())


def area(plane: np.ndarray, edges: tuple[int, int, int, int]) -> int:
    """Pixels of a mask inside edges."""
    i_min, j_min, i_max, j_max = edges
    return int(np.count_nonzero(plane[j_min:j_max, i_min:i_max]))


# One slice


def test_the_mask_is_that_of_all_boxes_from_one_embedding_and_one_call(
    session: SegmentationSession, backend: Counting
) -> None:
    large, small = (
        SegmentationSession(a_fake_model(), a_volume()).segment_slice(1, box(0, edges)) for edges in (LARGE, SMALL)
    )
    plane = session.segment_slice(1, [box(0, LARGE), box(1, SMALL)])
    assert (area(large, SMALL), area(small, LARGE)) == (0, 0)
    assert area(plane, LARGE) > 0.9 * 24 * 40
    assert area(plane, SMALL) > 0.8 * 12 * 12
    np.testing.assert_array_equal(plane, large | small)
    assert backend.encoded == 1
    assert backend.calls == [(2, True)]
    assert session.boxes[1] == (box(0, LARGE), box(1, SMALL))


def test_each_mask_is_limited_by_its_own_box(session: SegmentationSession) -> None:
    plane = session.segment_slice(1, [box(0, (6, 12, 18, 52)), box(1, SMALL)])
    assert area(plane, (20, 12, 40, 52)) == 0
    assert area(plane, SMALL) > 100


def test_a_slices_scores_are_means_by_area(session: SegmentationSession) -> None:
    alone = []
    for edges in (LARGE, SMALL):
        plane = session.segment_slice(1, box(0, edges))
        alone.append((int(plane.sum()), session.slices.scores(1)))
    (large, scores), (small, other) = alone
    session.segment_slice(1, [box(0, LARGE), box(1, SMALL)])
    both = session.slices.scores(1)
    assert scores.score != other.score

    def mean(one: float | None, two: float | None) -> object:
        assert one is not None
        assert two is not None
        return pytest.approx((large * one + small * two) / (large + small))

    assert both.score == mean(scores.score, other.score)
    assert both.agreement == mean(scores.agreement, other.agreement)
    assert both.mask_scores == tuple(map(mean, scores.mask_scores, other.mask_scores))
    assert both.cam_agreement is not None
    assert scores.cam_agreement is not None
    assert both.cam_agreement > scores.cam_agreement, "the map shows both parts"


def test_boxes_where_nothing_is_have_scores_and_no_mask(session: SegmentationSession) -> None:
    assert not session.segment_slice(1, [box(0, (0, 0, 2, 2)), box(1, (60, 60, 62, 62))]).any()
    assert session.slices.scores(1).score is not None


class BlindToTheRight(FakeGuidance):
    """Sees nothing of the right half of a slice."""

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """See `Guidance.maps`."""
        found = super().maps(images, embeddings)
        found.cam_logits[..., 36:] = -90.0
        return found


def test_the_map_is_heard_for_the_boxes_that_it_bears_out_alone(backend: Counting) -> None:
    model = a_fake_model(backend=backend, guidance=BlindToTheRight())
    session = SegmentationSession(model, a_volume())
    plane = session.segment_slice(1, [box(1, SMALL), box(0, LARGE)])
    assert sorted(backend.calls) == [(1, False), (1, True)]
    assert area(plane, SMALL) > 100
    assert area(plane, LARGE) > 800


@dataclass
class Emptying:
    """A refiner that leaves nothing, and remembers within what.

    Attributes:
        within: Of each call.
    """

    spec: str = "emptying/1.0.0"
    every_box: bool = False
    within: list[NetworkBox] = field(default_factory=list)

    def __call__(self, decoded: DecodedSlices, embedding: torch.Tensor, within: NetworkBox) -> DecodedSlices:
        """See `MaskRefiner`."""
        self.within.append(within)
        return replace(decoded, logits=np.full_like(decoded.logits, -9.0))


def test_a_refiner_refines_box_by_box_and_leaves_a_persons_alone(session: SegmentationSession) -> None:
    session.find_boxes()
    large, small = session.boxes[1]
    refiner = Emptying()
    session.set_refiner(refiner)
    plane = session.segment_slice(1, [large, replace(small, source=BoxSource.EDITED)])
    assert (area(plane, LARGE), area(plane, SMALL) > 100) == (0, True)
    assert len(refiner.within) == 1
    refiner.every_box = True
    assert not session.segment_slice(1, [large, replace(small, source=BoxSource.EDITED)]).any()
    assert len(refiner.within) == 3


def test_a_slice_with_two_boxes_goes_into_its_state_and_back(session: SegmentationSession) -> None:
    session.find_boxes()
    session.segment_slice(1, [box(0, LARGE), box(1, SMALL)])
    session.boxes.delete(1, 1)
    session.segment_slices([1])
    state = session.slices.state(1)
    assert ([one.part for one in state.boxes], [one.part for one in state.deleted_boxes]) == ([0], [1])
    assert [one.part for one in state.automatic_boxes] == [0, 1]
    other = SegmentationSession(a_fake_model(), session.volume)
    other.slices.put(state)
    assert other.slices.state(1) == state
    other.find_boxes()
    assert other.boxes[1] == state.boxes, "the deleted box came back"


def test_an_empty_sequence_says_that_nothing_is_there(session: SegmentationSession) -> None:
    session.find_boxes()
    session.segment_boxes()
    assert not session.segment_slice(1, []).any()
    session.find_boxes()
    assert session.boxes.on(1) == ()
    assert session.boxes.deleted == {1}


def test_a_box_on_another_slice_is_refused_and_nothing_changes(session: SegmentationSession) -> None:
    session.segment_slice(1, box(0, LARGE))
    before = session.result()
    with pytest.raises(InputError, match="on slice 2, not on slice 1"):
        session.segment_slice(1, [box(0, SMALL), box(1, SMALL, k=2)])
    assert session.boxes == before.boxes
    np.testing.assert_array_equal(session.result().mask, before.mask)


def test_uncertainty_is_known_in_every_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VolumeReviewer, "doubts", lambda _: {})  # the three masks alone
    session = SegmentationSession(a_fake_model(), a_volume(), keep_uncertainty=True)
    session.segment_slice(1, [box(0, LARGE), box(1, SMALL)])
    both = session.result().uncertainty
    session.segment_slice(1, box(1, SMALL))
    small = session.result().uncertainty
    assert both is not None
    assert small is not None
    assert (area(both[1], LARGE) > 0, area(small[1], LARGE)) == (True, 0)
    assert area(both[1], (40, 14, 56, 30)) == area(small[1], (40, 14, 56, 30)) > 0


# A volume


def test_each_part_is_found_and_numbered() -> None:
    session = SegmentationSession(a_fake_model(boxes=SPLIT), a_volume(5, small_on=(1, 2, 3)))
    session.find_boxes()
    assert {k: [one.part for one in boxes] for k, boxes in session.boxes.items()} == {
        0: [0],
        1: [0, 1],
        2: [0, 1],
        3: [0, 1],
        4: [0],
    }
    result = session.segment_boxes()
    assert [area(plane, SMALL) > 100 for plane in result.mask] == [False, True, True, True, False]
    assert all(area(plane, LARGE) > 800 for plane in result.mask)
    assert [len(report.boxes) for report in result.slices] == [1, 2, 2, 2, 1]


def test_without_splitting_one_box_goes_round_both() -> None:
    session = SegmentationSession(a_fake_model(), a_volume())
    session.find_boxes()
    ((whole,),) = {session.boxes[1]}
    assert (whole.i_min < 8, whole.i_max > 52) == (True, True)


def test_a_persons_box_stays_beside_what_another_run_finds(session: SegmentationSession) -> None:
    """The person drew the small part as number 0, before anything was found."""
    drawn = box(0, (41, 15, 55, 29))
    session.segment_slice(1, drawn)
    session.find_boxes()
    assert session.boxes[1][0] == drawn
    assert [one.source for one in session.boxes[1]] == [BoxSource.EDITED, BoxSource.AUTO]
    session.segment_boxes()
    assert area(session.slices.plane(1), LARGE) > 800
    assert area(session.slices.plane(1), SMALL) > 100


def segmented(volume: Volume, sampling: SliceSampling) -> tuple[np.ndarray, FakeBackend, SegmentationSession]:
    model = a_fake_model(boxes=replace(SPLIT, smooth_mm=0.0))
    session = SegmentationSession(model, volume, sampling=sampling)
    session.find_boxes()
    mask = session.segment_boxes().mask
    assert isinstance(model.backend, FakeBackend)
    return mask, model.backend, session


def test_thin_slices_are_interpolated_part_by_part() -> None:
    """The small part begins and ends between two encoded slices: there the slice in the middle is encoded as well."""
    volume = a_volume(33, small_on=range(9, 28), slice_mm=1.0)
    full, every, _ = segmented(volume, EVERY_SLICE)
    sparse, some, session = segmented(volume, DEFAULT_SAMPLING)
    assert every.encoded == 33
    assert some.encoded < 20
    np.testing.assert_array_equal([area(plane, SMALL) > 100 for plane in full], [9 <= k < 28 for k in range(33)])
    np.testing.assert_array_equal([area(plane, SMALL) > 100 for plane in sparse], [9 <= k < 28 for k in range(33)])
    assert 2 * (full & sparse).sum() / (full.sum() + sparse.sum()) > 0.99
    between = [k for k in range(12, 24) if session._finder.anchors_of(k) is not None]
    assert len(between) > 5
    assert all([one.part for one in session.boxes[k]] == [0, 1] for k in between)


def test_a_thin_slice_with_one_box_edited_is_decoded_itself_in_both() -> None:
    mask, backend, session = segmented(a_volume(33, slice_mm=1.0), DEFAULT_SAMPLING)
    k = next(k for k in range(12, 24) if session._finder.anchors_of(k) is not None)
    encoded = backend.encoded
    large, small = session.boxes[k]
    session.segment_slice(k, [large, replace(small, i_max=small.i_max - 5, source=BoxSource.EDITED)])
    assert backend.encoded == encoded + 1
    after = session.slices.mask()
    assert area(after[k], LARGE) > 800
    assert 0 < area(after[k], SMALL) < area(mask[k], SMALL)
    np.testing.assert_array_equal(np.delete(after, k, 0), np.delete(mask, k, 0))


def test_parts_that_end_and_begin_between_two_encoded_slices_are_followed_to_their_ends() -> None:
    """Slices 12 and 18 are encoded: the first shows one part, the second another, and the middle neither."""
    other = (36, 12, 56, 40)
    axial = np.full((33, 64, 64), FAT_HU, np.int16)
    for (i_min, j_min, i_max, j_max), on in ((LARGE, range(14)), (other, range(17, 33))):
        axial[on.start : on.stop, j_min:j_max, i_min:i_max] = LIVER_HU
    volume = Volume(axial, (4.0, 4.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    mask, backend, session = segmented(volume, DEFAULT_SAMPLING)
    assert backend.encoded < 20
    assert [k for k in range(33) if area(mask[k], LARGE) > 800] == list(range(14))
    assert [k for k in range(33) if area(mask[k], other) > 400] == list(range(17, 33))
    assert sorted({box.part for box in session.boxes.every_box}) == [0]
