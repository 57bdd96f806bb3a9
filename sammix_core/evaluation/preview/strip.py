"""One row of small pictures of a result, for a list of many: the outline from the front, and axial slices."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from sammix_core.evaluation.preview import palette
from sammix_core.evaluation.preview.sheet import choose_slices, font
from sammix_core.evaluation.preview.tile import TileFrame, draw_tile
from sammix_core.preprocessing.body_crop import body_crop
from sammix_core.segmentation.review import most_uncertain

if TYPE_CHECKING:
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.volume.volume import Volume

_TILE_WIDTH, _TILE_HEIGHT = 232, 190
_CAPTION_HEIGHT = 22
_GAP = 6
_AXIAL_TILES = 5
_DOUBTFUL_TILES = 2  # of these, the most uncertain slices
_TEXT_PX = 13
_BODY_MARGIN_MM = 8.0
_DOUBT = (251, 176, 64)
_JPEG_QUALITY = 82


def render_strip(volume: Volume, result: SegmentationResult) -> Image.Image:
    """Draws the mask from the front and on a few axial slices from head to feet; those most in doubt have a frame.

    Args:
        volume: The volume that was segmented.
        result: The segmenter's result.

    Returns:
        An RGB picture of 1,422 x 212 pixels, with the patient's right on the left.
    """
    order = result.axial_order
    hu, mask = order.forward(volume.array), order.forward(result.mask)
    slice_mm, row_mm, col_mm = order.spacing(volume.spacing)
    shape_kji = volume.array.shape
    by_index = {order.slice_index(number, shape_kji): number for number in range(len(hu))}
    doubtful = [by_index[review.slice_index] for review in most_uncertain(result.reviews)]
    shown = _chosen(mask, doubtful[:_DOUBTFUL_TILES])
    rows, columns = _crop(hu[shown], (row_mm, col_mm))
    axial = TileFrame.fit((rows[0], columns[0], rows[1], columns[1]), (row_mm, col_mm), _TILE_WIDTH, _TILE_HEIGHT)

    tiles = _AXIAL_TILES + 1
    size = (tiles * _TILE_WIDTH + (tiles - 1) * _GAP, _TILE_HEIGHT + _CAPTION_HEIGHT)
    strip = Image.new("RGB", size, palette.BACKGROUND)
    _paste(strip, 0, _frontal(hu, mask, columns, (slice_mm, col_mm)), "from the front", False)
    for place, number in enumerate(shown[::-1], start=1):
        tile = draw_tile(axial, hu[number], np.zeros(mask.shape[1:], np.float32), mask[number], ())
        _paste(strip, place, tile, f"slice {order.slice_index(number, shape_kji)}", number in doubtful)
    return strip


def encode_strip(strip: Image.Image) -> bytes:
    """A strip as JPEG, some 60 kB.

    Args:
        strip: As `render_strip` returns it.
    """
    stream = io.BytesIO()
    # Without subsampling, which would smear the contours' colour.
    strip.save(stream, format="JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=True)
    return stream.getvalue()


def _chosen(mask: np.ndarray, doubtful: list[int]) -> list[int]:
    """Canonical slices, ascending: the doubtful ones, and others evenly over the organ."""
    evenly = choose_slices(mask, _AXIAL_TILES - len(doubtful))
    chosen = sorted({*doubtful, *evenly})
    # Where both chose the same slice there is room for more.
    for number in choose_slices(mask, 2 * _AXIAL_TILES):
        if len(chosen) >= _AXIAL_TILES:
            break
        chosen = sorted({*chosen, number})
    return chosen


def _crop(hu: np.ndarray, spacing_mm: tuple[float, float]) -> tuple[tuple[int, int], tuple[int, int]]:
    row_min, col_min, row_max, col_max = body_crop(hu, spacing_mm, _BODY_MARGIN_MM)
    return (row_min, row_max), (col_min, col_max)


def _frontal(
    hu: np.ndarray, mask: np.ndarray, columns: tuple[int, int], spacing_mm: tuple[float, float]
) -> Image.Image:
    """The coronal plane with most of the mask under the outline of the whole mask, head up."""
    through = mask.any(axis=(0, 2))
    row = int(np.argmax(np.count_nonzero(mask, axis=(0, 2)))) if through.any() else mask.shape[1] // 2
    outline = np.any(mask, axis=1)[::-1]
    plane = np.ascontiguousarray(hu[::-1, row])
    frame = TileFrame.fit((0, columns[0], len(plane), columns[1]), spacing_mm, _TILE_WIDTH, _TILE_HEIGHT)
    return draw_tile(frame, plane, np.zeros(plane.shape, np.float32), outline, ())


def _paste(strip: Image.Image, place: int, tile: Image.Image, caption: str, doubtful: bool) -> None:
    draw = ImageDraw.Draw(strip)
    left = place * (_TILE_WIDTH + _GAP)
    draw.rectangle((left, 0, left + _TILE_WIDTH - 1, strip.height - 1), fill=palette.PANEL)
    draw.rectangle((left, 0, left + _TILE_WIDTH - 1, _TILE_HEIGHT - 1), fill=(0, 0, 0))
    strip.paste(tile, (left + (_TILE_WIDTH - tile.width) // 2, (_TILE_HEIGHT - tile.height) // 2))
    colour = _DOUBT if doubtful else palette.TEXT_DIM
    baseline = strip.height - 7
    draw.text((left + 7, baseline), caption, colour, font(_TEXT_PX), anchor="ls")
    if doubtful:
        draw.text((left + _TILE_WIDTH - 7, baseline), "check", colour, font(_TEXT_PX), anchor="rs")
        draw.rectangle((left, 0, left + _TILE_WIDTH - 1, strip.height - 1), outline=colour, width=2)
