"""Carrying a correction to the neighbours: how far it goes, what stays, blending, cancel, and boxes that follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fake_network import a_fake_model, turned_volume

from sammix_core.boxes import Box, BoxSource
from sammix_core.errors import Cancelled, InputError
from sammix_core.masks.overlap import mask_dice
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.volume.axial_order import AxialOrder

CANONICAL = AxialOrder((2, 1, 0), (False, False, False))
TURNED = AxialOrder((1, 0, 2), (True, False, True))
RIGHT, LEFT = (slice(60, 110), slice(30, 80)), (slice(50, 85), slice(110, 150))  # lobes as (rows, cols)
ONE_LOBE = Box(0, 30, 60, 80, 110)


def a_liver(slice_mm: float, slices: int, left: range, order: AxialOrder = CANONICAL) -> SegmentationSession:
    """A liver whose left lobe, on some of its slices, has no box: every automatic mask lacks it."""
    hu = np.full((slices, 180, 180), 20, np.int16)
    hu[:, :4], hu[:, -4:] = -1000, -1000
    hu[(slice(None), *RIGHT)] = 110
    for index in left:
        hu[(index, *LEFT)] = 110
    session = Segmenter(a_fake_model()).open_session(turned_volume(hu, order, (slice_mm, 1.5, 1.5)))
    for index in range(slices):
        edges = order.box_to_volume(ONE_LOBE.edges, session.volume.shape_kji)
        at = session.axial.slice_index(index)
        session.slices.set_automatic({**session.slices.automatic_boxes, at: (Box(at, *edges),)})
    session.segment_boxes()
    return session


def painted(session: SegmentationSession, index: int, *lobes: tuple[slice, slice]) -> int:
    """Paints a canonical slice; returns its index along the user's axis."""
    mask = np.zeros(session.axial.plane_shape, bool)
    for lobe in lobes:
        mask[lobe] = True
    at = session.axial.slice_index(index)
    plane = session.axial.order.slice_to_volume(mask)
    session.slices.put(session.slices.state(at).corrected_to(plane))
    return at


def has_left_lobe(session: SegmentationSession) -> list[int]:
    """Canonical slices whose mask shows the left lobe."""
    masks = session.axial.order.forward(session.slices.mask())
    return [index for index, mask in enumerate(masks) if mask_dice(mask[LEFT], np.ones_like(mask[LEFT])) > 0.9]


def states(session: SegmentationSession) -> list[object]:
    return [session.slices.state(index) for index in range(session.boxes.slice_count)]


@pytest.mark.parametrize("order", [CANONICAL, TURNED], ids=["canonical", "turned"])
@pytest.mark.parametrize(("slice_mm", "slices", "left"), [(10.0, 8, range(2, 6)), (1.0, 30, range(6, 25))])
def test_a_missed_lobe_is_carried_as_far_as_it_goes(
    slice_mm: float, slices: int, left: range, order: AxialOrder
) -> None:
    session = a_liver(slice_mm, slices, left, order)
    before = session.axial.order.forward(session.slices.mask())
    assert has_left_lobe(session) == []
    start = painted(session, left[1], RIGHT, LEFT)
    changed = session.carry(start)
    shown = has_left_lobe(session)
    assert shown == list(left)
    assert changed == sorted(session.axial.slice_index(index) for index in shown if index != left[1])
    after = session.axial.order.forward(session.slices.mask())
    np.testing.assert_array_equal(after[:, :, :100], before[:, :, :100])  # the right lobe, to the pixel
    for index in changed:
        boxes = session.boxes.on(index)
        assert {box.source for box in boxes} == {BoxSource.CARRIED}
        assert len(boxes) == 2
        assert session.slices.scores(index).score is not None


def test_what_was_removed_is_removed_from_the_neighbours() -> None:
    session = a_liver(5.0, 7, range(7))
    session.slices.set_automatic({index: (Box(index, 30, 50, 150, 110),) for index in range(7)})
    session.segment_boxes()
    assert has_left_lobe(session) == list(range(7))
    session.set_refiner(KeepsMask())
    assert session.carry(painted(session, 3, RIGHT)) == [0, 1, 2, 4, 5, 6]
    assert has_left_lobe(session) == []


class KeepsMask:
    """A refiner that finds every mask right."""

    spec, every_box = "keeps/1.0.0", False

    def __call__(self, decoded: object, embedding: object, within: object) -> object:
        return decoded


def test_a_slice_of_the_persons_own_stops_it_and_stays() -> None:
    session = a_liver(5.0, 9, range(9))
    start, stop = painted(session, 3, RIGHT, LEFT), painted(session, 6, RIGHT)
    session.segment_slice(0, Box(0, 30, 60, 80, 100, BoxSource.EDITED))
    kept = [session.slices.state(index) for index in (start, stop, 0)]
    # Of two slices between, each follows the nearer one of the person's; the edit of slice 0 comes back to slice 1.
    assert session.carry(start) == [1, 2, 4]
    assert has_left_lobe(session) == [2, 3, 4]
    assert [session.slices.state(index) for index in (start, stop, 0)] == kept


def test_a_second_carry_begins_from_the_automatic_masks() -> None:
    session = a_liver(5.0, 7, range(7))
    automatic = states(session)
    start = painted(session, 3, RIGHT, LEFT)
    assert session.carry(start) == [0, 1, 2, 4, 5, 6]
    once = states(session)
    assert session.carry(start) == []
    assert states(session) == once
    painted(session, 3, RIGHT)
    assert session.carry(start) == [0, 1, 2, 4, 5, 6]
    assert [state for index, state in enumerate(states(session)) if index != 3] == automatic[:3] + automatic[4:]


def test_a_cancel_leaves_every_slice_as_it_was() -> None:
    session = a_liver(5.0, 9, range(9))
    start = painted(session, 4, RIGHT, LEFT)
    before, told = states(session), list[int]()
    with pytest.raises(Cancelled):
        session.carry(start, cancel=lambda: len(told) >= 2, on_changed=told.append)
    assert states(session) == before
    assert told == [5, 6, 5, 6]


@pytest.mark.parametrize(
    ("prepare", "index", "sentence"),
    [
        (lambda session: None, 2, "Slice 2 was not corrected by hand; only a corrected slice can be carried."),
        (lambda session: None, 7, "Slice 7 is outside the volume, whose slices end at 4."),
    ],
)
def test_what_cannot_be_carried_is_said(
    prepare: Callable[[SegmentationSession], None], index: int, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        a_liver(5.0, 5, range(5)).carry(index)
