"""Canonical axial order: every permutation and flip there and back, and oblique volumes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import rotation

from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

SIGNED_PERMUTATIONS = [
    np.eye(3)[:, list(permutation)] * signs
    for permutation in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
signed_permutations = st.sampled_from(SIGNED_PERMUTATIONS)


def test_there_are_48() -> None:
    assert len({matrix.tobytes() for matrix in SIGNED_PERMUTATIONS}) == 48


@pytest.mark.parametrize("direction", SIGNED_PERMUTATIONS)
def test_each_voxel_lands_where_its_lps_position_says(direction: np.ndarray) -> None:
    # Voxel values are their own LPS coordinates, so the canonical array is known without the code under test.
    shape_kji = (2, 3, 4)
    kji = np.stack(np.indices(shape_kji), axis=-1)
    lps = kji[..., ::-1] @ direction.T
    order = AxialOrder.from_direction(direction)
    canonical = np.stack([order.forward(lps[..., axis]) for axis in range(3)], axis=-1)
    for axis, component in ((0, 2), (1, 1), (2, 0)):
        assert (np.diff(canonical, axis=axis)[..., component] == 1).all()
    assert canonical.shape[:3] == order.shape(shape_kji)


@pytest.mark.parametrize("direction", SIGNED_PERMUTATIONS)
def test_masks_come_back_exactly(direction: np.ndarray) -> None:
    order = AxialOrder.from_direction(direction)
    mask = np.random.default_rng(0).integers(0, 2, (3, 4, 5), dtype=np.uint8)
    forward = order.forward(mask)
    np.testing.assert_array_equal(order.back(forward), mask)
    np.testing.assert_array_equal(order.forward(order.back(forward)), forward)
    assert np.shares_memory(forward, mask)
    assert np.shares_memory(order.back(forward), mask)


@pytest.mark.parametrize("direction", SIGNED_PERMUTATIONS)
def test_spacing_follows_its_axis(direction: np.ndarray) -> None:
    order = AxialOrder.from_direction(direction)
    spacing = (0.5, 2.0, 7.0)
    expected = np.abs(direction) @ spacing  # (L, P, S)
    assert order.spacing(spacing) == tuple(expected[::-1])


def _slice_of(array_kji: np.ndarray, order: AxialOrder, index: int) -> np.ndarray:
    """The slice `index` on the user's slice axis, indexed [b, a] with a the lower in-plane axis."""
    return array_kji.take(index, axis=2 - "ijk".index(order.slice_axis))


@given(signed_permutations, st.data())
def test_boxes_and_slices_fall_on_the_same_voxels(direction: np.ndarray, data: st.DataObject) -> None:
    order = AxialOrder.from_direction(direction)
    shape_kji = data.draw(st.tuples(*[st.integers(1, 7)] * 3))
    n_slices, n_rows, n_cols = order.shape(shape_kji)
    canonical_slice = data.draw(st.integers(0, n_slices - 1))
    col_min = data.draw(st.integers(0, n_cols - 1))
    col_max = data.draw(st.integers(col_min + 1, n_cols))
    row_min = data.draw(st.integers(0, n_rows - 1))
    row_max = data.draw(st.integers(row_min + 1, n_rows))
    box = (col_min, row_min, col_max, row_max)

    canonical = np.zeros((n_slices, n_rows, n_cols), np.uint8)
    canonical[canonical_slice, row_min:row_max, col_min:col_max] = 1
    index = order.slice_index(canonical_slice, shape_kji)
    a_min, b_min, a_max, b_max = order.box_to_volume(box, shape_kji)
    plane = _slice_of(order.back(canonical), order, index)
    expected = np.zeros_like(plane)
    expected[b_min:b_max, a_min:a_max] = 1
    np.testing.assert_array_equal(plane, expected)
    assert plane.sum() == (col_max - col_min) * (row_max - row_min)
    assert order.box_to_canonical((a_min, b_min, a_max, b_max), shape_kji) == box
    assert order.canonical_slice(index, shape_kji) == canonical_slice


def test_a_box_written_out() -> None:
    # i to the right, j to superior, k to posterior: a coronal volume; axial slices are stacked along j.
    direction = np.column_stack([(-1.0, 0, 0), (0, 0, 1.0), (0, 1.0, 0)])
    order = AxialOrder.from_direction(direction)
    assert (order.slice_axis, order.axes, order.flips) == ("j", (1, 2, 0), (False, False, True))
    n_k, n_j, n_i = 5, 6, 10
    assert order.box_to_volume((1, 2, 4, 3), (n_k, n_j, n_i)) == (6, 2, 9, 3)
    assert order.slice_index(4, (n_k, n_j, n_i)) == 4


def test_slices_outside_are_refused() -> None:
    order = AxialOrder.from_direction(np.diag([1.0, 1.0, -1.0]))
    assert order.slice_index(0, (4, 2, 2)) == 3
    with pytest.raises(IndexError, match="slice 4 is outside 0 to 3"):
        order.slice_index(4, (4, 2, 2))
    with pytest.raises(IndexError, match="slice -1 is outside"):
        order.canonical_slice(-1, (4, 2, 2))


angles = st.floats(-180, 180, allow_nan=False)


@given(angles, angles, angles, st.booleans())
def test_any_direction_gets_the_best_permutation(x: float, y: float, z: float, mirrored: bool) -> None:
    direction = rotation((x, y, z)) * ([-1, 1, 1] if mirrored else [1, 1, 1])
    order = AxialOrder.from_direction(direction)
    assert sorted(order.axes) == [0, 1, 2]
    sums = {
        axes: sum(abs(direction[lps, axis]) for lps, axis in zip((2, 1, 0), axes, strict=True))
        for axes in itertools.permutations(range(3))
    }
    assert sums[order.axes] > max(sums.values()) - 1e-5
    mask = np.random.default_rng(0).integers(0, 2, (2, 3, 4), dtype=np.uint8)
    np.testing.assert_array_equal(order.back(order.forward(mask)), mask)


@given(signed_permutations, st.tuples(*[st.floats(-20, 20)] * 3))
def test_a_little_oblique_is_cut_along_the_nearest_axis(
    direction: np.ndarray, degrees: tuple[float, float, float]
) -> None:
    assert AxialOrder.from_direction(rotation(degrees) @ direction) == AxialOrder.from_direction(direction)


@pytest.mark.parametrize("noise", [0.0, 1e-12, -1e-12])
def test_45_degrees_always_take_k_as_slices(noise: float) -> None:
    direction = rotation((45.0 + noise, 0.0, 0.0))
    assert AxialOrder.from_direction(direction).axes == (2, 1, 0)


@pytest.mark.parametrize("direction", [np.eye(2), np.full((3, 3), np.nan)])
def test_impossible_directions_are_refused(direction: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        AxialOrder.from_direction(direction)


def test_axes_must_be_a_permutation() -> None:
    with pytest.raises(ValueError, match="permutation"):
        AxialOrder(axes=(0, 0, 1), flips=(False, False, False))


def test_a_volume_knows_its_order() -> None:
    direction = np.column_stack([(0, 0, -1.0), (1.0, 0, 0), (0, 1.0, 0)])
    volume = Volume(np.zeros((2, 3, 4), np.int16), (1, 2, 3), (0, 0, 0), direction)
    assert volume.axial_order == AxialOrder(axes=(0, 2, 1), flips=(True, False, False))
    assert volume.axial_order is volume.axial_order
