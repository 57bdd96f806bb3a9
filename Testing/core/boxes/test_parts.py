"""Which boxes are of one part: on a slice by place, along z by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sammix_core.boxes.parts import box_iou, enclosing_box, matching_boxes, number_parts

RIGHT, LEFT, SPLEEN = (0, 0, 40, 60), (50, 10, 70, 30), (90, 40, 110, 60)
BOTH = (0, 0, 70, 60)


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0, 0, 10, 10), 1.0), ((5, 0, 15, 10), 1 / 3), ((10, 0, 20, 10), 0.0), ((20, 20, 30, 30), 0.0)],
)
def test_boxes_that_only_touch_do_not_overlap(other: tuple[float, ...], expected: float) -> None:
    assert box_iou((0, 0, 10, 10), other) == pytest.approx(expected)
    assert box_iou(np.array(other, dtype=float), np.array([0, 0, 10, 10.0])) == pytest.approx(expected)


def test_the_box_round_boxes() -> None:
    assert enclosing_box([RIGHT, LEFT]) == BOTH
    assert enclosing_box([LEFT]) == LEFT
    assert enclosing_box([]) is None


def test_each_box_is_paired_once_with_what_it_overlaps_best() -> None:
    assert matching_boxes([RIGHT, LEFT], [LEFT, BOTH]) == [(0, 1), (1, 0)]
    assert matching_boxes([RIGHT, LEFT], [BOTH]) == [(0, 0)]
    assert matching_boxes([RIGHT], [LEFT]) == []
    assert matching_boxes([RIGHT], [BOTH], least_iou=0.58) == []
    assert matching_boxes([RIGHT], [BOTH], least_iou=0.57) == [(0, 0)]


def test_one_box_a_slice_is_one_part_wherever_it_lies() -> None:
    assert number_parts([[RIGHT], [], [SPLEEN], [LEFT]]) == [(0,), (), (0,), (0,)]


def test_parts_keep_their_numbers_in_whatever_order_they_come() -> None:
    assert number_parts([[LEFT, RIGHT], [RIGHT, LEFT], [LEFT], [RIGHT, LEFT]]) == [(1, 0), (0, 1), (1,), (0, 1)]


def test_where_a_part_splits_the_larger_keeps_the_number() -> None:
    assert number_parts([[BOTH], [LEFT, RIGHT]]) == [(0,), (1, 0)]


def test_where_parts_merge_the_larger_keeps_the_number_and_the_other_comes_back_with_its_own() -> None:
    assert number_parts([[RIGHT, LEFT], [BOTH], [BOTH], [LEFT, RIGHT]]) == [(0, 1), (0,), (0,), (1, 0)]


def test_the_largest_part_of_all_is_number_0_though_it_begins_last() -> None:
    assert number_parts([[LEFT], [LEFT, SPLEEN], [RIGHT, LEFT], [RIGHT]]) == [(1,), (1, 2), (0, 1), (0,)]


boxes = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20)).map(
    lambda e: (e[0], e[1], e[0] + e[2], e[1] + e[3])
)


@given(st.lists(st.lists(boxes, max_size=4), max_size=8))
def test_numbers_are_distinct_on_a_slice_and_none_is_left_out(slices: list[list[tuple[int, int, int, int]]]) -> None:
    numbers = number_parts(slices)
    assert [len(of_slice) for of_slice in numbers] == [len(of_slice) for of_slice in slices]
    assert all(len(set(of_slice)) == len(of_slice) for of_slice in numbers)
    every = {number for of_slice in numbers for number in of_slice}
    assert every == set(range(len(every)))
