"""The contact sheet shows the right slices the right way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_results import a_result, a_volume
from PIL import Image

from sammix_core.boxes import BoxSource
from sammix_core.evaluation.preview import choose_slices, palette, render_preview, write_preview
from sammix_core.evaluation.preview.tile import TileFrame, draw_tile


def a_mask(count: int, first: int, last: int) -> np.ndarray:
    mask = np.zeros((count, 2, 2), bool)
    mask[first : last + 1] = True
    return mask


def test_slices_are_even_over_the_liver_with_two_beyond_each_end() -> None:
    assert choose_slices(a_mask(100, 20, 65), max_slices=20) == [14, 17, *range(20, 66, 3), 68, 71]


def test_where_the_liver_reaches_the_end_its_slices_take_the_free_tiles() -> None:
    chosen = choose_slices(a_mask(100, 0, 99), max_slices=20)
    assert len(chosen) == 20
    assert (chosen[0], chosen[-1]) == (0, 99)
    assert set(np.diff(chosen)) <= {5, 6}


def test_small_volumes_are_shown_whole() -> None:
    assert choose_slices(a_mask(1, 0, 0)) == [0]
    assert choose_slices(a_mask(7, 3, 4)) == [1, 2, 3, 4, 5, 6]


def test_without_liver_slices_are_even_over_the_volume() -> None:
    assert choose_slices(np.zeros((41, 2, 2)), max_slices=5) == [0, 10, 20, 30, 40]


@given(st.tuples(st.integers(0, 49), st.integers(0, 49)).map(sorted), st.integers(1, 60))
@example([0, 0], 1)
@example([49, 49], 1)
@example([0, 49], 24)
def test_never_too_many_never_twice_and_always_some_liver(ends: list[int], most: int) -> None:
    first, last = ends
    chosen = choose_slices(a_mask(50, first, last), most)
    assert len(chosen) == len(set(chosen)) <= most
    assert all(0 <= index < 50 for index in chosen)
    assert any(first <= index <= last for index in chosen)


def test_a_frame_keeps_the_aspect_in_millimetres() -> None:
    wide = TileFrame.fit((0, 0, 100, 100), (1.0, 2.0), width_px=300, most_height_px=300)
    assert wide.size_px == (300, 150)
    tall = TileFrame.fit((0, 0, 100, 100), (4.0, 1.0), width_px=300, most_height_px=300)
    assert tall.size_px == (75, 300)


FRAME = TileFrame.fit((0, 0, 50, 50), (1.0, 1.0), width_px=200, most_height_px=200)
NOTHING = np.zeros((50, 50), np.float32)


def test_grey_follows_the_window() -> None:
    hu = np.full((50, 50), 40.0)
    hu[:10], hu[40:] = -160.0, 240.0
    tile = np.asarray(draw_tile(FRAME, hu, NOTHING, NOTHING, []))
    assert tile[100, 100].tolist() == [128, 128, 128]
    assert tile[5, 100].tolist() == [0, 0, 0]
    assert tile[195, 100].tolist() == [255, 255, 255]


def test_a_box_is_drawn_on_its_own_voxels_in_the_colour_of_its_source() -> None:
    for source in BoxSource:
        tile = np.asarray(draw_tile(FRAME, np.full((50, 50), -1000.0), NOTHING, NOTHING, [((10, 20, 30, 45), source)]))
        rows, cols = np.nonzero((tile == palette.BOX[source]).all(axis=2))
        assert (cols.min(), cols.max(), rows.min(), rows.max()) == (40, 119, 80, 179)
    assert len(set(palette.BOX.values())) == len(BoxSource)


def test_every_box_of_a_slice_is_drawn() -> None:
    boxes = [((10, 20, 30, 45), BoxSource.AUTO), ((35, 5, 45, 15), BoxSource.EDITED)]
    tile = np.asarray(draw_tile(FRAME, np.full((50, 50), -1000.0), NOTHING, NOTHING, boxes))
    for edges, source in boxes:
        rows, cols = np.nonzero((tile == palette.BOX[source]).all(axis=2))
        assert (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1) == tuple(4 * edge for edge in edges)


def test_the_contour_lies_on_the_edge_of_the_mask() -> None:
    mask = np.zeros((50, 50), np.uint8)
    mask[10:30, 20:40] = 1
    tile = np.asarray(draw_tile(FRAME, np.full((50, 50), -1000.0), NOTHING, mask, [])).astype(int)
    green = tile[..., 1]
    rows, cols = np.nonzero(green > 0)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == pytest.approx((40, 119, 80, 159), abs=2)
    assert green[80, 80:83].max() > 180, "contour"
    assert 10 < green[80, 120] < 60, "light fill"


def test_a_mask_cut_by_the_window_has_no_contour_there() -> None:
    mask = np.zeros((50, 50), np.uint8)
    mask[:, 20:] = 1
    tile = np.asarray(draw_tile(FRAME, np.full((50, 50), -1000.0), NOTHING, mask, [])).astype(int)
    assert tile[0, 150, 1] < 60
    assert tile[100, 199, 1] < 60


def test_heat_is_warm_where_the_map_is_high_and_absent_where_it_is_low() -> None:
    cam = NOTHING.copy()
    cam[:, 25:] = 0.9
    cam[:, :25] = 0.1
    tile = np.asarray(draw_tile(FRAME, np.full((50, 50), 40.0), cam, NOTHING, [])).astype(int)
    assert tile[100, 20].tolist() == [128, 128, 128]
    red, _, blue = tile[100, 180]
    assert red > blue + 30


@pytest.mark.parametrize("flipped", [False, True])
def test_the_patients_right_is_on_the_left_whatever_the_storage(flipped: bool) -> None:
    """The ball is off centre to low i: to the patient's right when i runs to the left, as LPS does."""
    direction = np.diag([-1.0, 1.0, 1.0]) if flipped else np.eye(3)
    volume = a_volume(direction=direction)
    sheet = np.asarray(render_preview(volume, a_result(volume), max_tiles=1)).astype(int)
    first_tile = sheet[130:380, 28:372]
    greenish = (first_tile[..., 1] > 190) & (first_tile[..., 0] < 120) & (first_tile[..., 2] < 160)
    mean_column = np.nonzero(greenish)[1].mean()
    assert mean_column > 190 if flipped else mean_column < 155


@pytest.mark.parametrize("shape", [(1, 60, 80), (3, 60, 80), (60, 60, 80)])
def test_sheets_of_few_and_many_slices(shape: tuple[int, int, int], tmp_path: Path) -> None:
    volume = a_volume(shape)
    picture = render_preview(volume, a_result(volume))
    write_preview(picture, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as read:
        assert (read.format, read.mode, read.size) == ("PNG", "RGB", picture.size)
    assert picture.width == 1824 if shape[0] == 60 else picture.width == 2 * 28 + 3 * 344 + 2 * 12


def test_a_volume_without_liver_and_one_without_spacing_are_drawn() -> None:
    volume = a_volume(spacing_known=False)
    for result in (a_result(volume), a_result(volume, np.zeros(volume.array.shape))):
        assert render_preview(volume, result).height > 500


def test_sagittal_storage_is_shown_as_axial_slices() -> None:
    """Stored with slices along the patient's left-right axis; the sheet still has one tile per axial slice."""
    direction = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    volume = a_volume((60, 12, 80), direction)
    assert volume.axial_order.slice_axis == "j"
    result = a_result(volume)
    assert result.boxes.slice_axis == "j"
    assert render_preview(volume, result).width > 0
