"""From maps to boxes: hysteresis, components in 3-D, padding, smoothing along z, and what a manifest keeps of it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import (
    BoxSettings,
    GuidedBoxes,
    boxes_from_cam,
    hysteresis,
    near_the_strongest,
    supported_components,
)
from sammix_core.preprocessing.upsampling import upsampled

SIZE, CELLS = 256, 64
# Nothing but a threshold: no padding, no smoothing, nothing too small
PLAIN = BoxSettings(smooth_mm=0.0, least_support=0.0, padding=(0.0, 0.0, 0.0, 0.0))


def maps_of(*rectangles: tuple[int, int, int, int] | None, probability: float | None = None) -> GuidanceMaps:
    """Maps with one rectangle (x_min, y_min, x_max, y_max) of cells at +4 a slice, or none, all else at -4."""
    logits = np.full((len(rectangles), CELLS, CELLS), -4, np.float32)
    for plane, rectangle in zip(logits, rectangles, strict=True):
        if rectangle is not None:
            x_min, y_min, x_max, y_max = rectangle
            plane[y_min:y_max, x_min:x_max] = 4
    probabilities = [probability or (0.02 if rectangle is None else 0.98) for rectangle in rectangles]
    return GuidanceMaps(logits, np.array(probabilities, np.float32))


def boxes_of(maps: GuidanceMaps, settings: BoxSettings = PLAIN, slice_mm: float = 5.0) -> GuidedBoxes:
    return boxes_from_cam(maps, slice_mm, SIZE, settings)


# Hysteresis


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ("", ""),
        ("9", "#"),
        ("4", "."),
        ("1", "."),
        ("1491", ".##."),
        ("1941", ".##."),
        ("14141", "....."),
        ("149411494", ".###..###"),
        ("4441444", "......."),
        ("9199", "#.##"),
        ("737", "###"),
        ("636", "..."),
        ("94444444", "########"),
        ("4414449", "...####"),
    ],
)
def test_hysteresis_at_3_and_7(probabilities: str, expected: str) -> None:
    found = hysteresis(np.array([int(digit) / 10 for digit in probabilities]), high=0.7, low=0.3)
    assert "".join(".#"[int(one)] for one in found) == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 1), st.floats(0.01, 1))
def test_hysteresis_takes_no_weak_slice_and_leaves_no_strong_one(
    probabilities: list[float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    values = np.array(probabilities)
    found = hysteresis(values, high, low)
    assert not found[values < low].any()
    assert found[values >= high].all()


# Components


def test_a_slab_keeps_both_halves_of_a_liver_and_drops_a_speck() -> None:
    """In a slab the left and right lobes can be apart; the largest alone would lose one."""
    cells = np.zeros((3, 20, 40), bool)
    cells[:, 4:16, 3:18] = True
    cells[:, 5:12, 24:33] = True
    halves = cells.copy()
    cells[1, 18, 38] = True
    weights = np.full(cells.shape, 0.9)
    np.testing.assert_array_equal(supported_components(cells, weights, share=0.05), halves)
    largest = supported_components(cells, weights, share=1.0)
    assert largest.sum() == 3 * 12 * 15


def test_support_counts_how_sure_the_map_is_not_only_size() -> None:
    cells = np.zeros((1, 10, 30), bool)
    cells[0, 2:5, 2:5] = True  # small and sure
    cells[0, 2:6, 20:25] = True  # twice as large and doubtful
    weights = np.where(np.arange(30) < 10, 0.99, 0.2)[None, None, :] * np.ones(cells.shape)
    kept = supported_components(cells, weights, share=0.7)
    assert kept[0, 3, 3]
    assert not kept[0, 3, 22]


def test_cells_that_touch_at_a_corner_of_the_next_slice_are_one() -> None:
    cells = np.zeros((2, 6, 6), bool)
    cells[0, :3, :3] = True
    cells[1, 3, 3] = True
    assert supported_components(cells, np.ones(cells.shape), share=0.5).sum() == 10


def test_a_component_that_is_far_in_z_is_its_own() -> None:
    """A spleen seen on two slices of many is dropped though it is large on them."""
    big, spleen = (5, 10, 35, 45), (45, 10, 58, 24)
    maps = maps_of(*[big] * 10)
    maps.cam_logits[4:6, spleen[1] : spleen[3], spleen[0] : spleen[2]] = 4
    found = boxes_of(maps)
    assert found.boxes == boxes_of(maps_of(*[big] * 10)).boxes
    assert not found.support[4, 12, 50]


def test_a_speck_is_no_liver_even_where_there_is_nothing_else() -> None:
    cells = np.zeros((3, 10, 10), bool)
    cells[1:, 2:5, 2:5] = True  # 18 cells, at 0.9 each 16.2
    weights = np.full(cells.shape, 0.9)
    assert not supported_components(cells, weights, share=0.05, least=17.0).any()
    np.testing.assert_array_equal(supported_components(cells, weights, share=0.05, least=16.0), cells)
    assert boxes_of(maps_of((10, 10, 14, 14)), replace(PLAIN, least_support=20.0)).boxes == [()]
    assert boxes_of(maps_of((10, 10, 15, 15)), replace(PLAIN, least_support=20.0)).boxes != [()]


def test_no_cell_gives_none() -> None:
    cells = np.zeros((2, 4, 4), bool)
    assert not supported_components(cells, np.ones(cells.shape), share=0.05).any()


# Boxes


def test_a_rectangle_of_cells_gives_its_box() -> None:
    # The enlarged map crosses 0 halfway between +4 and -4, at the cells' edges.
    found = boxes_of(maps_of((10, 20, 30, 28)))
    assert found.boxes == [((40, 80, 120, 112),)]
    assert found.scores.tolist() == pytest.approx([1 / (1 + np.exp(-4))])
    assert found.support[0].sum() == 20 * 8


def test_a_weaker_border_gives_a_tighter_box() -> None:
    maps = maps_of((10, 20, 30, 28))
    maps.cam_logits[maps.cam_logits < 0] = -12  # crosses 0 a quarter of the way from centre to centre: 1 pixel inside
    assert boxes_of(maps).boxes == [((41, 81, 119, 111),)]


def test_padding_and_clipping() -> None:
    maps = maps_of((0, 20, 30, 64))
    assert boxes_of(maps).boxes == [((0, 80, 120, 256),)]
    padded = replace(PLAIN, padding=(1.5, 2.0, 3.0, 4.0))
    assert boxes_of(maps, padded).boxes == [((0, 78, 123, 256),)]
    shrunk = replace(PLAIN, padding=(-1.5, -2.0, -3.0, -4.0))
    assert boxes_of(maps, shrunk).boxes == [((1.5, 82, 117, 252),)]


def test_a_single_weak_cell_gets_its_own_box() -> None:
    """Between neighbours at -4 a cell at 0.1 vanishes when the map is enlarged."""
    maps = maps_of((30, 30, 31, 31))
    maps.cam_logits[0, 30, 30] = 0.1
    assert boxes_of(maps).boxes == [((120, 120, 124, 124),)]


@example(x=63, y=60, width=1, height=1, padding=(-9, 9, -9, -9))
@given(
    st.integers(0, CELLS - 1),
    st.integers(0, CELLS - 1),
    st.integers(1, CELLS),
    st.integers(1, CELLS),
    st.tuples(*[st.floats(-9, 9)] * 4),
)
def test_a_box_is_never_empty_and_never_outside(
    x: int, y: int, width: int, height: int, padding: tuple[float, float, float, float]
) -> None:
    maps = maps_of((x, y, min(CELLS, x + width), min(CELLS, y + height)))
    (box,) = boxes_of(maps, replace(PLAIN, padding=padding)).boxes[0]
    assert 0 <= box[0] < box[2] <= SIZE
    assert 0 <= box[1] < box[3] <= SIZE


def test_the_threshold_decides_what_belongs() -> None:
    maps = maps_of((10, 20, 30, 28))
    maps.cam_logits[0, 20:28, 30:40] = 0.5
    (wide,) = boxes_of(maps).boxes[0]
    (narrow,) = boxes_of(maps, replace(PLAIN, threshold=1.0)).boxes[0]
    assert wide[2] > 155
    assert narrow[2] < 125


def test_empty_maps_give_no_box() -> None:
    found = boxes_of(maps_of(None, None, None), replace(PLAIN, smooth_mm=2.0))
    assert found.boxes == [()] * 3
    assert found.scores.tolist() == [0, 0, 0]
    assert not found.support.any()


def test_cells_without_probability_and_probability_without_cells_give_no_box() -> None:
    assert boxes_of(maps_of((5, 5, 20, 20), probability=0.2)).boxes == [()]
    assert boxes_of(maps_of(None, probability=0.95)).boxes == [()]


def test_one_slice_alone_is_not_smoothed() -> None:
    maps = maps_of((10, 20, 30, 28))
    settings = replace(PLAIN, smooth_mm=50.0, smooth_box_mm=50.0)
    assert boxes_of(maps, settings).boxes == [(pytest.approx((40, 80, 120, 112)),)]


# Parts


LARGE, SMALL = (4, 10, 30, 50), (40, 12, 52, 24)
SPLIT = replace(PLAIN, split=True, component_share=0.0)


def two_parts(*second: tuple[int, int, int, int] | None) -> GuidanceMaps:
    """The large part on every slice, and beside it another or none."""
    maps = maps_of(*[LARGE] * len(second))
    for plane, rectangle in zip(maps.cam_logits, second, strict=True):
        if rectangle is not None:
            x_min, y_min, x_max, y_max = rectangle
            plane[y_min:y_max, x_min:x_max] = 4
    return maps


def test_one_box_goes_round_all_parts_unless_they_are_split() -> None:
    maps = two_parts(SMALL)
    assert boxes_of(maps).boxes == [((16, 40, 208, 200),)]
    assert boxes_of(maps, SPLIT).boxes == [((16, 40, 120, 200), (160, 48, 208, 96))]


def test_parts_that_are_close_are_one() -> None:
    """Two cells lie between them: they are one with a gap of 1, twice of which is bridged."""
    maps = two_parts((32, 12, 40, 24))
    assert boxes_of(maps, SPLIT).boxes == [((16, 40, 160, 200),)]
    assert boxes_of(maps, replace(SPLIT, part_gap=0)).boxes == [((16, 40, 120, 200), (128, 48, 160, 96))]


def test_a_small_part_goes_into_the_nearest_box() -> None:
    maps = two_parts(SMALL)
    maps.cam_logits[0, 30:32, 46:48] = 4  # 4 cells
    assert boxes_of(maps, SPLIT).boxes == [((16, 40, 120, 200), (160, 48, 208, 128))]
    of_its_own = boxes_of(maps, replace(SPLIT, least_part=3.0, part_share=0.0)).boxes
    assert of_its_own == [((16, 40, 120, 200), (160, 48, 208, 96), (184, 120, 192, 128))]
    assert boxes_of(maps, replace(SPLIT, part_share=0.2)).boxes == [((16, 40, 208, 200),)]


def test_edges_are_smoothed_part_by_part() -> None:
    moved = (44, 12, 56, 24)
    settings = replace(SPLIT, smooth_box_mm=5.0)
    still, turned = boxes_of(two_parts(SMALL, moved, SMALL), settings).boxes[1]
    assert still == pytest.approx((16, 40, 120, 200))
    assert 160 < turned[0] < 176
    assert turned[1] == pytest.approx(48)


# Along z


def test_smoothing_closes_a_gap_and_drops_a_flicker() -> None:
    rectangle = (10, 10, 40, 40)
    maps = maps_of(*[rectangle] * 4, None, *[rectangle] * 4, *[None] * 6, (50, 50, 54, 54), *[None] * 4)
    plain = boxes_of(maps, PLAIN, slice_mm=1.0)
    assert [bool(boxes) for boxes in plain.boxes] == [True] * 4 + [False] + [True] * 4 + [False] * 11
    # The flicker is dropped for its support; without that rule smoothing drops it as well.
    settings = replace(PLAIN, smooth_mm=1.2, component_share=0.0)
    smooth = boxes_of(maps, settings, slice_mm=1.0)
    assert all(smooth.boxes[:9])
    assert not any(smooth.boxes[11:])


def test_smoothing_is_in_millimetres() -> None:
    maps = maps_of(*[(10, 10, 40, 40)] * 4, None, *[(10, 10, 40, 40)] * 4)
    settings = replace(PLAIN, smooth_mm=2.0)
    assert boxes_of(maps, settings, slice_mm=1.5).boxes[4]
    assert not boxes_of(maps, settings, slice_mm=8.0).boxes[4]


def test_box_edges_are_smoothed_within_a_run_only() -> None:
    maps = maps_of((10, 10, 30, 30), (14, 10, 34, 30), (10, 10, 30, 30), None, (40, 40, 60, 60))
    settings = replace(PLAIN, component_share=0.0)
    still = boxes_of(maps, settings).boxes
    smooth = boxes_of(maps, replace(settings, smooth_box_mm=5.0)).boxes
    (still_0,), (still_1,), (smooth_0,), (smooth_1,) = still[0], still[1], smooth[0], smooth[1]
    assert still_0[0] < smooth_0[0] < smooth_1[0] < still_1[0]
    assert smooth_1[1] == pytest.approx(still_1[1])
    assert smooth[3] == ()
    assert smooth[4] == (pytest.approx(still[4][0]),)


def test_the_order_of_slices_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    maps = maps_of((10, 10, 40, 40), (12, 11, 41, 44), None, (9, 20, 33, 39), None)
    noisy = GuidanceMaps(
        maps.cam_logits + rng.normal(0, 1, maps.cam_logits.shape).astype(np.float32), maps.probabilities
    )
    settings = BoxSettings(smooth_box_mm=3.0)
    there = boxes_of(noisy, settings).boxes
    back = boxes_of(GuidanceMaps(noisy.cam_logits[::-1], noisy.probabilities[::-1]), settings).boxes[::-1]
    assert [len(boxes) for boxes in there] == [len(boxes) for boxes in back]
    for one, other in zip(there, back, strict=True):
        assert one == tuple(pytest.approx(box, abs=1e-3) for box in other)


# Enlarging


def test_enlarging_keeps_a_constant_and_a_ramp() -> None:
    np.testing.assert_allclose(upsampled(np.full((8, 8), 2.5, np.float32), 32), 2.5)
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    wide = upsampled(ramp, 32)
    assert wide.shape == (32, 32)
    # Pixel centres in cells; past the outermost cells' centres the map ends flat.
    np.testing.assert_allclose(wide[5], np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7), atol=1e-6)
    np.testing.assert_allclose(upsampled(ramp.T, 32), wide.T)


def test_enlarging_is_torchs_bilinear_interpolation() -> None:
    """The networks were trained on what torch makes of a map."""
    import torch
    from torch.nn import functional

    maps = np.random.default_rng(0).normal(0, 2, (2, CELLS, CELLS)).astype(np.float32)
    expected = functional.interpolate(torch.from_numpy(maps)[:, None], (SIZE, SIZE), mode="bilinear")[:, 0]
    np.testing.assert_allclose(upsampled(maps, SIZE), expected.numpy(), atol=1e-5)


# Settings


def test_settings_go_through_a_manifest() -> None:
    import json

    settings = BoxSettings(threshold=0.5, probability_high=0.8, smooth_mm=3.0, padding=(1.25, -0.5, 2.0, 0.0))
    assert BoxSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert BoxSettings.from_dict({}) == BoxSettings()
    assert settings.to_dict().keys() == {field.name for field in fields(BoxSettings)}


@pytest.mark.parametrize(
    "wrong", [{"blur": 1}, {"padding": 3}, {"padding": [1, 2, 3]}, {"padding": "wide"}, {"padding": None}]
)
def test_settings_of_another_version_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="The model's box section"):
        BoxSettings.from_dict({**BoxSettings().to_dict(), **wrong})


def test_a_piece_far_below_the_strongest_one_is_dropped_however_large() -> None:
    cells = np.zeros((12, 4, 4), dtype=bool)
    cells[8:12] = True  # the liver: 64 cells
    cells[0, 0, :2] = True  # far below, weak
    cells[5, 3, 3] = True  # weak as well, but only two slices away
    weights = np.ones(cells.shape, dtype=np.float32)
    kept = near_the_strongest(cells, weights, most_gap=3)
    assert kept[8:12].all()
    assert kept[5, 3, 3]
    assert not kept[0].any()
    cells[0:2] = True  # now 32 cells, half of the strongest
    assert not near_the_strongest(cells, weights, most_gap=3)[0:2].any()
