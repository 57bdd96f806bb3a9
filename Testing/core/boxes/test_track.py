"""Box and BoxTrack: who may replace whose box, and the slices between two keyframes."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sammix_core.boxes import Box, BoxFile, BoxSource, BoxTrack, Click
from sammix_core.errors import InputError
from sammix_core.volume import Volume

AUTO, EDITED, INTERPOLATED = BoxSource.AUTO, BoxSource.EDITED, BoxSource.INTERPOLATED


@pytest.fixture
def track() -> BoxTrack:
    return BoxTrack((100, 80, 20))


def box(index: int, source: BoxSource = AUTO, *edges: int) -> Box:
    return Box(index, *(edges or (10, 20, 30, 40)), source=source)


# ---------------------------------------------------------------------------------------------------------------- Box


def test_a_box_indexes_the_slice_that_it_lies_on() -> None:
    volume = np.arange(4 * 5 * 6).reshape(4, 5, 6)  # (k, j, i)
    on_k = Box(2, i_min=1, j_min=3, i_max=4, j_max=5)
    np.testing.assert_array_equal(volume[2][on_k.slices], volume[2, 3:5, 1:4])
    on_j = Box(2, i_min=1, j_min=3, i_max=4, j_max=4)  # "i" is i, "j" is k
    np.testing.assert_array_equal(volume[:, 2, :][on_j.slices], volume[3:4, 2, 1:4])
    on_i = Box(2, i_min=1, j_min=3, i_max=4, j_max=4)  # "i" is j, "j" is k
    np.testing.assert_array_equal(volume[:, :, 2][on_i.slices], volume[3:4, 1:4, 2])


def test_numpy_numbers_become_pythons() -> None:
    made = Box(
        np.int64(3), np.int32(1), np.uint8(2), np.int16(4), np.int64(5), "edited", np.float32(0.5), np.float64(1)
    )
    assert made == Box(3, 1, 2, 4, 5, EDITED, 0.5, 1.0)
    assert {type(made.slice_index), *map(type, made.edges)} == {int}
    assert type(made.score) is float
    assert made.source is EDITED


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"i_max": 10}, "slice 3 is empty: i_min 10 must be below i_max 10"),
        ({"j_min": 41}, "j_min 41 below j_max 40"),
        ({"i_min": -1}, "i_min must not be negative, but is -1"),
        ({"slice_index": -1}, "slice_index must not be negative"),
        ({"i_min": 10.0}, r"i_min must be a whole number, not 10\.0"),
        ({"j_max": True}, "j_max must be a whole number, not True"),
        ({"j_max": "40"}, "j_max must be a whole number, not '40'"),
        ({"j_max": None}, "j_max must be a whole number, not None"),
        ({"source": "person"}, "unknown source 'person'; it must be one of auto, edited, interpolated"),
        ({"source": ["auto"]}, "unknown source"),
        ({"score": float("nan")}, "slice 3 has a score that is no finite number: nan"),
        ({"score": 10**400}, "score that is no finite number"),
        ({"score": "0.5"}, "score that is no finite number: '0.5'"),
        ({"probability": float("inf")}, "probability that is no finite number"),
        ({"probability": 1.01}, r"probability 1\.01; it must lie from 0 to 1"),
        ({"probability": -0.01}, "it must lie from 0 to 1"),
    ],
)
def test_what_is_no_box_is_refused(changes: dict, sentence: str) -> None:
    good = {"slice_index": 3, "i_min": 10, "j_min": 20, "i_max": 30, "j_max": 40}
    Box(**good)
    with pytest.raises(InputError, match=sentence):
        Box(**{**good, **changes})


# ----------------------------------------------------------------------------------------------------------- BoxTrack


def test_a_track_is_a_mapping_sorted_by_slice(track: BoxTrack) -> None:
    assert track.update([box(7), box(2), box(5)]) == 3
    assert list(track) == [2, 5, 7]
    assert [index for index, _ in track.items()] == [2, 5, 7]
    assert len(track) == 3
    assert 5 in track
    assert 3 not in track
    assert track.get(3) is None
    with pytest.raises(KeyError):
        track[3]


@pytest.mark.parametrize(
    ("there", "new", "replaced"),
    [
        (AUTO, AUTO, True),
        (AUTO, INTERPOLATED, True),
        (AUTO, EDITED, True),
        (INTERPOLATED, AUTO, False),
        (INTERPOLATED, INTERPOLATED, True),
        (INTERPOLATED, EDITED, True),
        (EDITED, AUTO, False),
        (EDITED, INTERPOLATED, False),
        (EDITED, EDITED, True),
    ],
)
def test_who_may_replace_whose_box(track: BoxTrack, there: BoxSource, new: BoxSource, replaced: bool) -> None:
    old_box, new_box = box(4, there), box(4, new, 1, 2, 3, 4)
    assert track.set(old_box)
    assert track.set(new_box) is replaced
    assert track[4] == ((new_box if replaced else old_box),)


def test_a_deleted_box_stays_away_until_a_person_wants_one(track: BoxTrack) -> None:
    track.set(box(4))
    track.delete(4)
    assert 4 not in track
    assert track.deleted == {4}
    assert not track.set(box(4))
    assert 4 not in track
    assert track.set(box(4, EDITED))
    assert track.deleted == frozenset()


def test_reset_gives_slices_back_to_the_automatic(track: BoxTrack) -> None:
    track.update([box(1), box(2, EDITED), box(3, INTERPOLATED), box(5, EDITED)])
    track.delete(4)
    track.reset(2)
    assert list(track) == [1, 3, 5]
    assert track.deleted == {4}
    assert track.set(box(2))
    track.reset()
    assert list(track) == [1, 2]
    assert track.deleted == frozenset()
    assert track.set(box(4))


@pytest.mark.parametrize(
    ("outside", "sentence"),
    [
        (Box(20, 0, 0, 1, 1), "Slice 20 is outside the volume, whose 20 slices are numbered from 0"),
        (Box(0, 0, 0, 101, 1), "slice 0 reaches to 101, 1, outside the slice of 100 x 80 voxels"),
        (Box(0, 0, 0, 1, 81), "reaches to 1, 81, outside"),
    ],
)
def test_boxes_outside_the_volume_are_refused(track: BoxTrack, outside: Box, sentence: str) -> None:
    assert track.set(Box(19, 0, 0, 100, 80))
    with pytest.raises(InputError, match=sentence):
        track.set(outside)
    assert list(track) == [19]


@pytest.mark.parametrize(
    ("axis", "largest", "in_plane"),
    [
        ("k", Box(19, 0, 0, 100, 80), ("i", "j")),
        ("j", Box(79, 0, 0, 100, 20), ("i", "k")),
        ("i", Box(99, 0, 0, 80, 20), ("j", "k")),
    ],
)
def test_the_axes_that_i_and_j_stand_for(axis: str, largest: Box, in_plane: tuple[str, str]) -> None:
    track = BoxTrack((100, 80, 20), axis)
    assert track.in_plane_axes == in_plane
    assert track.slice_count == largest.slice_index + 1
    assert track.set(largest)
    for step in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        with pytest.raises(InputError, match="outside"):
            track.set(Box(largest.slice_index + step[0], 0, 0, largest.i_max + step[1], largest.j_max + step[2]))


@pytest.mark.parametrize(
    ("shape", "axis", "sentence"),
    [
        ((10, 10, 10), "x", "slice axis 'x' is unknown; it must be i, j or k"),
        ((10, 10), "k", "must be three whole numbers"),
        ("abc", "k", "must be three whole numbers"),
        ((10, 10, 0), "k", "10 x 10 x 0 has no voxels"),
        ((10, 10, 1.5), "k", r"shape must be a whole number, not 1\.5"),
    ],
)
def test_what_is_no_grid_is_refused(shape: tuple, axis: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        BoxTrack(shape, axis)


def test_slices_that_are_not_there_cannot_be_deleted_or_reset(track: BoxTrack) -> None:
    for act in (track.delete, track.reset):
        with pytest.raises(InputError, match="Slice 20 is outside"):
            act(20)
        with pytest.raises(InputError, match="must not be negative"):
            act(-1)


def test_a_copy_is_equal_and_its_own(track: BoxTrack) -> None:
    track.set(box(1))
    track.delete(2)
    twin = track.copy()
    assert twin == track
    twin.set(box(3))
    twin.reset(2)
    assert list(track) == [1]
    assert track.deleted == {2}
    assert twin != track
    assert track != dict(track)


def test_equal_boxes_on_another_grid_are_another_track() -> None:
    assert BoxTrack((9, 9, 9), "k", [Box(1, 0, 0, 2, 2)]) != BoxTrack((9, 9, 9), "j", [Box(1, 0, 0, 2, 2)])
    assert BoxTrack((9, 9, 9), "k", [Box(1, 0, 0, 2, 2)]) != BoxTrack((9, 9, 8), "k", [Box(1, 0, 0, 2, 2)])


# ------------------------------------------------------------------------------------------------------------- parts


RIGHT, LEFT = (10, 10, 50, 60), (60, 20, 80, 40)


def part(index: int, number: int, source: BoxSource = AUTO, edges: tuple[int, int, int, int] | None = None) -> Box:
    """Part 0 on the right, part 1 on the left."""
    return Box(index, *(edges or (RIGHT, LEFT)[number]), source=source, part=number)


def test_a_slice_holds_a_box_of_each_part(track: BoxTrack) -> None:
    track.update([part(4, 1), part(4, 0), part(2, 1)])
    assert track[4] == track.on(4) == (part(4, 0), part(4, 1))
    assert track.on(3) == ()
    assert len(track) == 2
    assert track.every_box == (part(2, 1), part(4, 0), part(4, 1))


def test_rules_hold_box_by_box(track: BoxTrack) -> None:
    track.update([part(4, 0, EDITED), part(4, 1)])
    assert not track.set(part(4, 0))
    assert track.set(part(4, 1, INTERPOLATED))
    assert [box.source for box in track[4]] == [EDITED, INTERPOLATED]


def test_a_box_in_the_place_of_a_persons_is_not_put_beside_it_whatever_its_number(track: BoxTrack) -> None:
    track.set(part(4, 0, EDITED))
    again = Box(4, 12, 8, 52, 61, part=3)
    assert not track.set(again)
    assert track[4] == (part(4, 0, EDITED),)
    # The other way round the person's box takes the place of the automatic one.
    other = BoxTrack(track.shape, boxes=[again])
    assert other.set(part(4, 0, EDITED))
    assert other[4] == (part(4, 0, EDITED),)
    # Two of a person's own boxes may overlap as they like.
    assert other.set(Box(4, 12, 8, 52, 61, EDITED, part=3))
    assert len(other[4]) == 2


def test_a_deleted_box_does_not_come_back_in_its_place_and_the_others_do(track: BoxTrack) -> None:
    track.update([part(4, 0), part(4, 1)])
    track.delete(4, 1)
    assert track[4] == (part(4, 0),)
    assert (track.deleted, track.deleted_boxes) == (frozenset(), (part(4, 1),))
    for returning in (part(4, 1), part(4, 2, edges=LEFT), part(4, 1, edges=(64, 20, 90, 44))):
        assert not track.set(returning)
    elsewhere = part(4, 1, edges=(60, 50, 80, 70))  # another run's number 1 may be another part
    assert track.set(elsewhere)
    assert track.set(part(4, 2, INTERPOLATED, LEFT))
    assert track.deleted_boxes == (), "what a person wants again is no longer deleted"


def test_with_its_last_box_a_slice_is_deleted(track: BoxTrack) -> None:
    track.update([part(4, 0), part(4, 1)])
    track.delete(4, 0)
    track.delete(4, 5)  # no such part
    assert track[4] == (part(4, 1),)
    track.delete(4, 1)
    assert (track.deleted, track.deleted_boxes, track.on(4)) == ({4}, (), ())


def test_reset_forgets_deleted_boxes(track: BoxTrack) -> None:
    track.update([part(4, 0, EDITED), part(4, 1), part(5, 0), part(5, 1)])
    track.delete(4, 1)
    track.delete(5, 0)
    track.reset(4)
    assert track.on(4) == ()
    assert track.set(part(4, 1))
    assert not track.set(part(5, 0))
    track.reset()
    assert track.set(part(5, 0))


def test_another_run_is_matched_by_place_before_number(track: BoxTrack) -> None:
    """A person drew the left part as number 0; the run numbers it 1."""
    persons = part(4, 0, EDITED, (61, 19, 80, 41))
    track.update([persons, part(6, 0), part(4, 3, edges=(0, 70, 9, 79))])
    track.replace_automatic([part(4, 0), part(4, 1), part(5, 0)])
    assert track[4] == (persons, part(4, 1, edges=RIGHT)), "the right part got the number that was left"
    assert list(track) == [4, 5], "what the run before had found stayed"


def test_a_box_that_a_person_moved_away_is_not_found_again(track: BoxTrack) -> None:
    moved = part(4, 0, EDITED, (0, 65, 30, 80))
    track.update([part(4, 0), part(4, 1)])
    track.set(moved)
    track.replace_automatic([part(4, 0), part(4, 1)])
    assert track[4] == (moved, part(4, 1))


def test_another_run_does_not_bring_back_what_was_deleted(track: BoxTrack) -> None:
    track.update([part(4, 0), part(4, 1), part(5, 0)])
    track.delete(4, 1)
    track.delete(5)
    track.replace_automatic([part(4, 0, edges=LEFT), part(4, 1, edges=RIGHT), part(5, 0)])
    assert track.every_box == (part(4, 1, edges=RIGHT),)


def test_a_run_with_a_box_outside_changes_nothing(track: BoxTrack) -> None:
    track.set(part(4, 0))
    with pytest.raises(InputError, match="outside"):
        track.replace_automatic([part(3, 0), Box(20, 0, 0, 1, 1)])
    assert list(track) == [4]


def test_boxes_put_on_a_slice_replace_what_was_there(track: BoxTrack) -> None:
    track.update([part(4, 0), part(4, 1)])
    track.put(4, [part(4, 0, EDITED, (12, 10, 50, 60))])
    assert track[4] == (part(4, 0, EDITED, (12, 10, 50, 60)),)
    assert track.deleted_boxes == (part(4, 1),), "a person left it out"
    track.put(4, [])
    assert track.deleted == {4}


def test_an_automatic_box_that_is_left_out_of_a_slices_boxes_is_deleted(track: BoxTrack) -> None:
    track.update([part(4, 0), part(4, 1)])
    track.put(4, [part(4, 0)])
    assert (track[4], track.deleted_boxes) == ((part(4, 0),), (part(4, 1),))


def test_boxes_put_with_one_number_get_others_that_fit_the_slices_beside(track: BoxTrack) -> None:
    track.update([part(3, 0), part(3, 7, edges=LEFT)])
    track.put(4, [Box(4, *RIGHT, EDITED), Box(4, *LEFT, EDITED), Box(4, 0, 70, 9, 79, EDITED)])
    assert [box.part for box in track[4]] == [0, 1, 7]
    assert track[4][2].edges == LEFT


def test_what_may_not_be_put_changes_nothing(track: BoxTrack) -> None:
    track.update([part(4, 0, EDITED), part(4, 1)])
    before = track.copy()
    for boxes, sentence in (
        ([part(4, 0), part(4, 1)], "has a box of yours"),
        ([part(5, 0, EDITED)], "lies on slice 5, not on slice 4"),
        ([Box(4, 0, 0, 101, 1, EDITED)], "outside"),
    ):
        with pytest.raises(InputError, match=sentence):
            track.put(4, boxes)
        assert track == before
    track.put(4, [part(4, 0, EDITED), part(4, 2, edges=(0, 70, 9, 79))])  # the person's own box is among them
    assert [box.part for box in track[4]] == [0, 2]


def test_a_further_box_takes_the_number_of_what_lies_beside_it(track: BoxTrack) -> None:
    track.update([part(3, 0), part(3, 1), part(5, 0), part(9, 0), part(9, 4, edges=(0, 70, 9, 79))])
    assert track.part_at(5, (62, 22, 80, 40)) == 1
    assert track.part_at(5, (0, 70, 8, 78)) == 4
    assert track.part_at(5, (90, 70, 99, 79)) == 2
    assert BoxTrack((9, 9, 9)).part_at(3, (0, 0, 2, 2)) == 0


def test_a_state_is_restored_whoever_set_what_is_there(track: BoxTrack) -> None:
    track.update([part(4, 0, EDITED), part(5, 0)])
    track.restore(4, [part(4, 1)], deleted_boxes=[part(4, 0)])
    assert (track[4], track.deleted_boxes) == ((part(4, 1),), (part(4, 0),))
    track.restore(4, [], deleted=True)
    assert (list(track), track.deleted, track.deleted_boxes) == ([5], {4}, ())
    with pytest.raises(InputError, match="two boxes with one part number on slice 5"):
        track.restore(5, [part(5, 0), part(5, 0, edges=LEFT)])
    assert track[5] == (part(5, 0),)


def test_each_part_is_interpolated_between_its_own_keyframes(track: BoxTrack) -> None:
    track.update([part(index, number, EDITED) for index in (2, 6, 9) for number in (0, 1)])
    track.set(part(4, 0))
    track.delete(6, 1)  # the left part is not on this keyframe
    assert track.interpolate() == [3, 4, 5, 7, 8]
    assert [box.part for box in track.every_box if box.source is INTERPOLATED] == [0] * 5
    track.put(6, [part(6, 0, EDITED), part(6, 1)])  # now it is, where the program found it
    assert track.interpolate(6) == [7, 8]
    assert track.interpolate() == [3, 4, 5, 6, 7, 8]
    assert [(box.slice_index, box.edges) for box in track.every_box if box.part == 1] == [
        (index, LEFT) for index in range(2, 10)
    ]


def test_parts_go_through_a_file(track: BoxTrack, tmp_path: Path) -> None:
    track.update([part(4, 0, EDITED), part(4, 1), part(5, 0), part(5, 1)])
    track.delete(5, 1)
    track.delete(7)
    track.write(tmp_path / "boxes.json")
    assert BoxTrack.read(tmp_path / "boxes.json") == track
    assert track.copy() == track
    other = track.copy()
    other.reset(5)
    assert other != track, "what was deleted is compared"


# ------------------------------------------------------------------------------------------------------ interpolation


def test_edges_move_linearly_and_halves_go_up(track: BoxTrack) -> None:
    track.update([Box(4, 10, 20, 30, 41, EDITED), Box(8, 12, 12, 50, 40, EDITED)])
    assert track.interpolate() == [5, 6, 7]
    assert [track[index][0].edges for index in (5, 6, 7)] == [
        (11, 18, 35, 41),  # 10.5, 18, 35, 40.75
        (11, 16, 40, 41),  # 11, 16, 40, 40.5
        (12, 14, 45, 40),  # 11.5, 14, 45, 40.25
    ]
    assert {track[index][0].source for index in (5, 6, 7)} == {INTERPOLATED}
    assert track[4][0].edges == (10, 20, 30, 41)


def test_interpolation_replaces_automatic_boxes_and_lifts_deletions(track: BoxTrack) -> None:
    track.update([box(0), box(2, EDITED), box(3), box(5, EDITED), box(6)])
    track.delete(4)
    assert track.interpolate() == [3, 4]
    assert [(box.slice_index, box.source) for box in track.every_box] == [
        (0, AUTO),
        (2, EDITED),
        (3, INTERPOLATED),
        (4, INTERPOLATED),
        (5, EDITED),
        (6, AUTO),
    ]


def test_each_pair_of_neighbouring_keyframes_is_filled(track: BoxTrack) -> None:
    track.update([box(1, EDITED), box(3, EDITED), box(4, EDITED), box(7, EDITED), box(9, EDITED)])
    assert track.keyframes == (1, 3, 4, 7, 9)
    assert track.copy().interpolate() == [2, 5, 6, 8]
    assert track.interpolate(3, 7) == [5, 6]
    assert track.interpolate(first=7) == [8]
    assert track.interpolate(last=3) == [2]


def test_moving_a_keyframe_moves_what_lies_between(track: BoxTrack) -> None:
    track.update([box(1, EDITED, 0, 0, 10, 10), box(3, EDITED, 0, 0, 10, 10)])
    track.interpolate()
    track.set(box(3, EDITED, 4, 4, 20, 20))
    track.interpolate()
    assert track[2][0].edges == (2, 2, 15, 15)


def test_without_two_keyframes_nothing_is_filled(track: BoxTrack) -> None:
    assert track.interpolate() == []
    track.update([box(1, EDITED), box(5)])
    assert track.interpolate() == []


def test_only_a_persons_boxes_are_keyframes(track: BoxTrack) -> None:
    track.update([box(1, EDITED), box(5)])
    with pytest.raises(InputError, match="Slice 5 has no box set by a person"):
        track.interpolate(1, 5)


edges = st.tuples(*[st.integers(0, 600)] * 2, *[st.integers(1, 600)] * 2).map(
    lambda e: (e[0], e[1], e[0] + e[2], e[1] + e[3])
)


@given(start=edges, end=edges, gap=st.integers(1, 40))
def test_interpolated_edges_are_the_exact_ones_rounded(start: tuple, end: tuple, gap: int) -> None:
    track = BoxTrack((1200, 1200, 50), "k", [Box(3, *start, source=EDITED), Box(3 + gap, *end, source=EDITED)])
    assert track.interpolate() == list(range(4, 3 + gap))
    for index in range(4, 3 + gap):
        exact = [a + (b - a) * Fraction(index - 3, gap) for a, b in zip(start, end, strict=True)]
        assert list(track[index][0].edges) == [floor(value + Fraction(1, 2)) for value in exact]


# ----------------------------------------------------------------------------------------------------------- placed_on


def volume_like(shape_kji: tuple[int, int, int], slice_axis: str) -> Volume:
    axes = {"k": (0, 1, 2), "j": (0, 2, 1)}[slice_axis]
    return Volume(np.zeros(shape_kji, np.int16), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[:, axes], False)


def test_boxes_must_be_for_this_volume(track: BoxTrack) -> None:
    track.check_fits(volume_like((20, 80, 100), "k"))
    with pytest.raises(InputError, match="are for a volume of 100 x 80 x 20 voxels, but this one has 80 x 100 x 20"):
        track.check_fits(volume_like((20, 100, 80), "k"))
    with pytest.raises(InputError, match="slices along axis k, but the axial slices of their volume are along axis j"):
        track.check_fits(volume_like((20, 80, 100), "j"))


def test_clicks_stay_with_the_boxes() -> None:
    clicks = (Click(2, 1, 1), Click(3, 5, 5, positive=False))
    track = BoxTrack.from_file(BoxFile((9, 9, 9), "k", clicks=clicks))
    assert track.copy().to_file().clicks == clicks
    placed, _ = track.placed_on(volume_like((9, 9, 9), "k"))
    assert placed.clicks == clicks
    placed.reset(2)
    assert placed.clicks == clicks[1:]
    assert track.clicks == clicks


def test_a_voxel_has_one_click_inside_the_volume() -> None:
    track = BoxTrack((9, 8, 7))
    track.add_clicks([Click(2, 4, 5), Click(2, 1, 7), Click(2, 4, 5, positive=False)])
    assert track.clicks_on(2) == (Click(2, 1, 7), Click(2, 4, 5, positive=False))
    for wrong, sentence in (
        (Click(7, 1, 1), "Slice 7 is outside"),
        (Click(2, 9, 1), "click on slice 2 reaches to 10, 2"),
    ):
        with pytest.raises(InputError, match=sentence):
            track.add_clicks([Click(3, 1, 1), wrong])
    with pytest.raises(InputError, match="click lies on slice 3, not on slice 2"):
        track.put_clicks(2, [Click(3, 1, 1)])
    assert track.clicks_on(3) == ()
    track.put_clicks(2, [])
    assert track.clicks == ()
