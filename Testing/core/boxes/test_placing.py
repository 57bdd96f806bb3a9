"""Boxes belong to voxels of a patient, not to the order in which a file stores them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from fake_network import a_fake_model, turned_volume
from hypothesis import given
from hypothesis import strategies as st
from synthetic_ct import synthetic_ct

from sammix_core.boxes import Box, BoxFile, BoxSource, BoxTrack, Click
from sammix_core.errors import InputError
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume import AxialOrder, Volume

AXIAL = synthetic_ct((7, 75, 100))
ORDERS = [
    (axes, flips) for axes in itertools.permutations(range(3)) for flips in itertools.product((False, True), repeat=3)
]


def stored_otherwise(volume: Volume, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same voxels in the same places, in a file whose axes are numbers `axes` of `volume`, some flipped."""
    matrix = volume.ijk_to_lps
    last = np.array(volume.array.shape[::-1]) - 1
    first_voxel = np.array([last[axis] if flip else 0 for axis, flip in zip(axes, flips, strict=True)])
    corner = np.zeros(3)
    corner[list(axes)] = first_voxel
    array = volume.array.transpose([2 - axis for axis in reversed(axes)])
    array = array[tuple(slice(None, None, -1 if flip else 1) for flip in reversed(flips))]
    signs = np.where(flips, -1.0, 1.0)
    return Volume(
        np.ascontiguousarray(array),
        tuple(volume.spacing[axis] for axis in axes),
        tuple((matrix @ [*corner, 1])[:3]),
        volume.direction[:, list(axes)] * signs,
    )


@pytest.fixture(scope="module")
def volume() -> Volume:
    tilt = np.deg2rad(8)
    turned = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return Volume(AXIAL, (3.1, 3.2, 5.0), (-120.5, 33.25, -700.0), turned)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(a_fake_model())


@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_boxes_made_in_one_order_of_axes_give_the_same_mask_in_every_other(
    segmenter: Segmenter, volume: Volume, axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    """Through the file, with a person's box that is not what would be found."""
    boxes = segmenter.segment_volume(volume).boxes
    k = 3
    (box,) = boxes[k]
    boxes.set(Box(k, box.i_min, box.j_min, (box.i_min + box.i_max) // 2, box.j_max - 3, BoxSource.EDITED))
    boxes.delete(max(boxes))
    expected = segmenter.segment_volume(volume, boxes=boxes)
    other = stored_otherwise(volume, axes, flips)
    np.testing.assert_array_equal(other.axial_order.forward(other.array), AXIAL)
    again = segmenter.segment_volume(other, boxes=BoxTrack.from_json(boxes.to_json()))
    assert expected.mask.any()
    np.testing.assert_array_equal(other.axial_order.forward(again.mask), expected.mask)
    said = any("another order of axes" in note for note in again.notes)
    assert said == ((axes, flips) != ((0, 1, 2), (False, False, False)))


@st.composite
def grids(draw: st.DrawFn) -> tuple[Volume, BoxFile]:
    n_i, n_j, n_k = (draw(st.integers(2, 12)) for _ in range(3))
    axes, flips = draw(st.sampled_from(ORDERS))
    spacing = tuple(draw(st.floats(0.3, 8)) for _ in range(3))
    origin = tuple(draw(st.floats(-900, 900)) for _ in range(3))
    plain = Volume(np.zeros((n_k, n_j, n_i), np.int16), spacing, origin, np.eye(3))
    volume = stored_otherwise(plain, axes, flips)
    track = BoxTrack.for_volume(volume)
    first, second = (track.shape["ijk".index(axis)] for axis in track.in_plane_axes)
    boxes, clicks = [], []
    for index in draw(st.sets(st.integers(0, track.slice_count - 1), max_size=4)):
        for part in draw(st.sets(st.integers(0, 4), max_size=2)):
            i, j = draw(st.integers(0, first - 1)), draw(st.integers(0, second - 1))
            box = Box(index, i, j, draw(st.integers(i + 1, first)), draw(st.integers(j + 1, second)), part=part)
            boxes.append(box)
            clicks.append(Click(index, box.i_max - 1, box.j_max - 1, draw(st.booleans())))
    clicks = list({(click.slice_index, click.i, click.j): click for click in clicks}.values())
    return volume, BoxFile(track.shape, track.slice_axis, track.grid, tuple(boxes), tuple(clicks))


def painted(file: BoxFile, volume: Volume) -> np.ndarray:
    """(k, j, i): 1 + part in each box, 100 or 50 more where there is a click."""
    planes = np.zeros(volume.array.shape, int)
    view = np.moveaxis(planes, 2 - "ijk".index(file.slice_axis), 0)
    for box in file.boxes:
        view[box.slice_index][box.slices] += 1 + box.part
    for click in file.clicks:
        view[click.slice_index, click.j, click.i] += 100 if click.positive else 50
    return planes


@given(case=grids(), order=st.sampled_from(ORDERS))
def test_several_boxes_and_clicks_lie_on_the_same_voxels_in_every_order_of_axes(
    case: tuple[Volume, BoxFile], order: tuple[tuple[int, ...], tuple[bool, ...]]
) -> None:
    volume, file = case
    other = stored_otherwise(volume, *order)
    placed, _ = file.placed_on(other)
    np.testing.assert_array_equal(
        other.axial_order.forward(painted(placed, other)), volume.axial_order.forward(painted(file, volume))
    )
    back, _ = placed.placed_on(volume)
    assert (back.boxes, back.clicks) == (file.boxes, file.clicks)


def test_rounding_in_a_header_is_no_other_grid(volume: Volume) -> None:
    track = BoxTrack.for_volume(volume, [Box(3, 10, 10, 60, 60)])
    rounded = replace(
        volume,
        spacing=tuple(float(np.float32(step)) for step in volume.spacing),
        origin=tuple(round(place, 3) for place in volume.origin),
        direction=np.round(volume.direction, 6),
    )
    assert track.placed_on(rounded) == (track, ())


@pytest.mark.parametrize(
    "change",
    [
        {"origin": (-120.5, 33.25, -695.0)},  # the next slice
        {"origin": (120.5, 40.0, 12.0)},  # another patient
        {"spacing": (3.0, 3.2, 5.0)},
        {"direction": np.eye(3)},
    ],
)
def test_boxes_of_another_patient_or_grid_are_refused(
    segmenter: Segmenter, volume: Volume, change: dict[str, object]
) -> None:
    track = BoxTrack.for_volume(volume, [Box(3, 10, 10, 60, 60)])
    with pytest.raises(InputError, match=r"The boxes are of another CT, or of another grid of this one: .* mm apart"):
        segmenter.segment_volume(replace(volume, **change), boxes=track)


def test_boxes_of_a_cropped_volume_are_refused(volume: Volume) -> None:
    track = BoxTrack.for_volume(volume, [Box(3, 10, 10, 60, 60)])
    with pytest.raises(InputError, match="for a volume of 100 x 75 x 7 voxels, but this one has 100 x 75 x 6"):
        track.placed_on(replace(volume, array=volume.array[1:]))


def test_what_cannot_be_compared_is_said(segmenter: Segmenter, volume: Volume) -> None:
    """A file of the format before, and a CT that has lost its spacing."""
    edges = (3, 10, 10, 60, 60)
    known, unknown = BoxTrack.for_volume(volume, [Box(*edges)]), BoxTrack((100, 75, 7), boxes=[Box(*edges)])
    lost = replace(turned_volume(AXIAL, AxialOrder((2, 1, 0), (False, False, False))), spacing_known=False)
    for boxes, ct in ((unknown, volume), (known, lost), (BoxTrack.for_volume(lost, [Box(*edges)]), lost)):
        notes = segmenter.segment_volume(ct, boxes=boxes).notes
        assert sum("only the numbers of voxels were compared" in note for note in notes) == 1
    placed, _ = unknown.placed_on(volume)
    assert placed.grid == known.grid
