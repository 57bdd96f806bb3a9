"""The strip of small pictures for lists: the mask from the front, and slices of which the doubtful ones are framed."""

from __future__ import annotations

import io

import numpy as np
from made_results import a_result, a_volume
from PIL import Image

from sammix_core.evaluation.preview.strip import encode_strip, render_strip
from sammix_core.segmentation.review import SliceReview

TILE, GAP, HEIGHT = 232, 6, 212
AMBER, GREEN = (251, 176, 64), (74, 222, 128)


def colour_near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).sum(axis=2) < 40


def tiles_of(strip: Image.Image) -> list[np.ndarray]:
    picture = np.asarray(strip)
    return [picture[:, left : left + TILE] for left in range(0, strip.width, TILE + GAP)]


def test_six_tiles_and_the_doubtful_slice_is_framed() -> None:
    volume = a_volume((12, 60, 80))
    result = a_result(volume)
    result.reviews = [SliceReview(k, 0.5 * (k == 6), (), 40.0 * (k == 6), k == 6) for k in range(12)]
    strip = render_strip(volume, result)
    assert strip.size == (6 * TILE + 5 * GAP, HEIGHT)
    tiles = tiles_of(strip)
    framed = [bool(colour_near(tile[:, :2], AMBER).mean() > 0.9) for tile in tiles]
    assert framed.count(True) == 1
    assert not framed[0]
    # Canonical slices run up, tiles from head to feet; the liver is outlined in the middle ones.
    assert [bool(colour_near(tile[:-22], GREEN).any()) for tile in tiles[1:]].count(True) >= 3


def test_the_view_from_the_front_has_the_head_on_top_and_the_right_side_on_the_left() -> None:
    volume = a_volume((20, 60, 80))
    mask = np.zeros(volume.array.shape, bool)
    mask[15:18, 20:30, 10:20] = True  # near the head (k up), on the patient's right (i towards the left)
    front = tiles_of(render_strip(volume, a_result(volume, mask)))[0][:-22]
    rows, cols = np.nonzero(colour_near(front, GREEN))
    assert rows.mean() < front.shape[0] / 2
    assert cols.mean() < front.shape[1] / 2


def test_an_empty_mask_has_a_strip_and_it_is_small_as_a_file() -> None:
    volume = a_volume()
    strip = render_strip(volume, a_result(volume, np.zeros(volume.array.shape, bool)))
    content = encode_strip(strip)
    assert len(content) < 120_000
    assert Image.open(io.BytesIO(content)).size == strip.size
    assert not colour_near(np.asarray(strip), GREEN).any()
