"""Connected components, on masks small enough to write out."""

from __future__ import annotations

import numpy as np
import pytest

from sammix_core.masks.components import (
    component_at,
    component_boxes,
    component_sizes,
    component_weights,
    components_touching,
    label_components,
    largest_component,
    select_components,
)

# Two components by their edges, one by their corners.
STAIRS = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], dtype=np.uint8)


@pytest.mark.parametrize(("corners", "sizes"), [(False, [2, 3]), (True, [5])])
def test_pixels_that_share_a_corner_are_one_component_only_when_corners_count(corners: bool, sizes: list[int]) -> None:
    labels, count = label_components(STAIRS, corners)
    assert component_sizes(labels, count).tolist() == sizes


def test_corners_count_along_all_three_axes() -> None:
    mask = np.zeros((2, 2, 2), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert [label_components(mask, corners)[1] for corners in (False, True)] == [2, 1]


def test_weights_and_boxes_come_in_the_order_of_the_labels() -> None:
    labels, count = label_components(STAIRS)
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert component_weights(labels, count, weights).tolist() == [0 + 1, 6 + 7 + 11]
    assert component_boxes(labels) == [(slice(0, 1), slice(0, 2)), (slice(1, 3), slice(2, 4))]


def test_selected_components_leave_the_background_out() -> None:
    labels, _ = label_components(STAIRS)
    assert select_components(labels, np.array([True, False])).astype(int).tolist() == [
        [1, 1, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_the_largest_component_is_the_first_of_equal_ones() -> None:
    assert largest_component(STAIRS).sum() == 3
    assert largest_component(np.array([[1, 0, 1]])).tolist() == [[True, False, False]]
    assert not largest_component(np.zeros((2, 2), dtype=bool)).any()


def test_components_are_kept_where_a_seed_touches_them_and_a_seed_outside_touches_none() -> None:
    seeds = np.zeros(STAIRS.shape, dtype=bool)
    seeds[2, 0] = True
    assert not components_touching(STAIRS, seeds).any()
    seeds[2, 3] = True
    assert components_touching(STAIRS, seeds).sum() == 3
    assert components_touching(STAIRS, seeds, corners=True).sum() == 5


def test_the_component_of_a_pixel_outside_the_mask_is_empty() -> None:
    assert component_at(STAIRS, (0, 1)).sum() == 2
    assert not component_at(STAIRS, (0, 2)).any()
