"""The whole contact sheet: title, legend, tiles, and how probability and liver area run along the body."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sammix_core.boxes import BoxSource
from sammix_core.evaluation.preview import palette
from sammix_core.evaluation.preview.tile import WINDOW, TileFrame, draw_tile
from sammix_core.evaluation.report import RESEARCH_ONLY, slices_with_mask
from sammix_core.files import atomic_path
from sammix_core.preprocessing.body_crop import body_crop

if TYPE_CHECKING:
    from sammix_core.segmentation.result import SegmentationResult, SliceReport
    from sammix_core.volume.volume import Volume

MAX_TILES = 20

# Slices beyond each end of the organ: enough to see that nothing was left out.
_SLICES_BEYOND = 2

_COLUMNS = 5
_TILE_WIDTH = 344
_MAX_TILE_HEIGHT = 344
_CAPTION_HEIGHT = 30
_BODY_MARGIN_MM = 8.0
_GAP = 12
_MARGIN = 28
_TITLE_HEIGHT = 92
_CHART_HEIGHT = 92
_FOOT_HEIGHT = 34

_TITLE_PX, _TEXT_PX, _SMALL_PX = 30, 17, 15


def render_preview(volume: Volume, result: SegmentationResult, max_tiles: int = MAX_TILES) -> Image.Image:
    """Draws slices from head to feet, seen from the feet (the patient's right is on the left), aspect in mm.

    Args:
        volume: The volume that was segmented.
        result: The segmenter's result.
        max_tiles: The largest number of slices.

    Returns:
        An RGB picture, about 1,800 pixels wide when all columns are used.
    """
    order = result.axial_order
    hu, mask = order.forward(volume.array), order.forward(result.mask)
    _, row_mm, col_mm = order.spacing(volume.spacing)
    shown = choose_slices(mask, max_tiles)[::-1]
    crop = body_crop(hu[shown], (row_mm, col_mm), _BODY_MARGIN_MM)
    frame = TileFrame.fit(crop, (row_mm, col_mm), _TILE_WIDTH, _MAX_TILE_HEIGHT)

    # The title needs the width of three tiles even where there are fewer.
    columns = min(_COLUMNS, max(len(shown), 3))
    rows = -(-len(shown) // columns)
    cell_height = frame.size_px[1] + _CAPTION_HEIGHT
    tiles_top = _MARGIN + _TITLE_HEIGHT
    chart_top = tiles_top + rows * (cell_height + _GAP)
    width = 2 * _MARGIN + columns * _TILE_WIDTH + (columns - 1) * _GAP
    sheet = Image.new("RGB", (width, chart_top + _CHART_HEIGHT + _FOOT_HEIGHT + _MARGIN), palette.BACKGROUND)
    draw = ImageDraw.Draw(sheet)

    shape_kji = volume.array.shape
    reports = {entry.slice_index: entry for entry in result.slices}
    _draw_title(draw, volume, result, width)
    for tile_number, canonical in enumerate(shown):
        index = order.slice_index(canonical, shape_kji)
        boxes = [(order.box_to_canonical(box.edges, shape_kji), box.source) for box in result.boxes.on(index)]
        tile = draw_tile(frame, hu[canonical], result.cam_slice(canonical), mask[canonical], boxes)
        left = _MARGIN + tile_number % columns * (_TILE_WIDTH + _GAP)
        top = tiles_top + tile_number // columns * (cell_height + _GAP)
        _paste_tile(sheet, tile, (left, top), _Caption(index, reports.get(index)))
    along = [reports.get(order.slice_index(canonical, shape_kji)) for canonical in range(len(hu))][::-1]
    _draw_chart(sheet, along, {len(hu) - 1 - canonical for canonical in shown}, chart_top, result.target)
    hu_window = f"Window {WINDOW.window_level:.0f} / {WINDOW.window_width:.0f} HU."
    numbering = "Slices are numbered from 0, as in the file, and run from head to feet."
    foot = f"{RESEARCH_ONLY}   {numbering}   {hu_window}"
    draw.text((_MARGIN, sheet.height - _MARGIN), foot, palette.TEXT_DIM, font(_SMALL_PX), anchor="ls")
    return sheet


def choose_slices(mask: np.ndarray, max_slices: int = 20) -> list[int]:
    """Picks slices evenly over the organ's extent and a few beyond both ends; over the whole volume without organ.

    Args:
        mask: (slice, row, column), canonical, non-zero is the organ.
        max_slices: The largest number of slices, 1 or more.

    Returns:
        Canonical slice indices, ascending, without repetition.
    """
    count = mask.shape[0]
    with_organ = np.flatnonzero(mask.any(axis=(1, 2)))
    if with_organ.size == 0:
        return _evenly(0, count - 1, max_slices)
    first, last = int(with_organ[0]), int(with_organ[-1])
    step = max((last - first) // max(max_slices - 2 * _SLICES_BEYOND - 1, 1), 1)
    reach = [step * number for number in range(1, _SLICES_BEYOND + 1)]
    beyond = [index for distance in reach for index in (first - distance, last + distance) if 0 <= index < count]
    beyond = beyond[: max_slices - 1]
    # Where the organ reaches the end of the scan, it gets the tiles that are left.
    return sorted([*_evenly(first, last, max_slices - len(beyond)), *beyond])


def write_preview(picture: Image.Image, path: str | Path) -> None:
    """Writes a contact sheet as PNG, whole or not at all.

    Args:
        picture: As `render_preview` returns it.
        path: The file to write.

    Raises:
        InputError: It cannot be written.
    """
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def _evenly(first: int, last: int, max_slices: int) -> list[int]:
    number = min(max_slices, last - first + 1)
    return sorted({round(value) for value in np.linspace(first, last, number)})


@dataclass(frozen=True)
class _Caption:
    slice_index: int
    report: SliceReport | None

    @property
    def numbers(self) -> str:
        if self.report is None:
            return ""
        score = "-" if self.report.scores.score is None else f"{self.report.scores.score:.2f}"
        # NaN where a session computed masks without guidance.
        probability = "-" if math.isnan(self.report.probability) else f"{self.report.probability:.2f}"
        return f"p {probability}   score {score}"


def _draw_title(draw: ImageDraw.ImageDraw, volume: Volume, result: SegmentationResult, width: int) -> None:
    draw.text((_MARGIN, _MARGIN + 26), "SAMMix", palette.TEXT, font(_TITLE_PX), anchor="ls")
    after = _MARGIN + draw.textlength("SAMMix", font(_TITLE_PX)) + 18
    made_by = f"{result.model}  ·  {result.guidance}  ·  {result.device}"
    draw.text((after, _MARGIN + 26), made_by, palette.TEXT_DIM, font(_TEXT_PX), anchor="ls")

    volume_ml = volume.mask_volume_ml(result.mask)
    with_mask = slices_with_mask(result)
    name = result.target[:1].upper() + result.target[1:]
    if not with_mask:
        finding = f"No {result.target} found"
    elif volume_ml is None:
        finding = f"{name}: volume unknown (spacing unknown)"
    else:
        finding = f"{name} {volume_ml:,.0f} mL"
    draw.text((width - _MARGIN, _MARGIN + 26), finding, palette.TEXT, font(_TITLE_PX), anchor="rs")
    counts = f"{with_mask} of {len(result.slices)} slices"
    draw.text((width - _MARGIN, _MARGIN + 60), counts, palette.TEXT_DIM, font(_TEXT_PX), anchor="rs")
    _draw_legend(draw, result)


def _draw_legend(draw: ImageDraw.ImageDraw, result: SegmentationResult) -> None:
    baseline, x = _MARGIN + 60, float(_MARGIN)
    sources = {box.source for box in result.boxes.every_box} | {BoxSource.AUTO}
    entries = [(f"{result.target} mask", palette.MASK)]
    entries += [(palette.BOX_NAME[source], palette.BOX[source]) for source in BoxSource if source in sources]
    for name, colour in entries:
        swatch = (x, baseline - 12, x + 16, baseline)
        if colour is palette.MASK:
            draw.rectangle(swatch, fill=tuple(channel // 3 for channel in colour))
        draw.rectangle(swatch, outline=colour, width=2)
        x = _legend_text(draw, x + 24, baseline, name)
    ramp = palette.heat(np.linspace(0.0, 1.0, 60))
    for step, colour_row in enumerate(ramp):
        draw.line((x + step, baseline - 12, x + step, baseline), fill=tuple(int(channel) for channel in colour_row))
    x = _legend_text(draw, x + 68, baseline, "activation map, 0 to 1")
    _legend_text(draw, x, baseline, f"p: probability that the slice shows {result.target}")


def _legend_text(draw: ImageDraw.ImageDraw, x: float, baseline: int, text: str) -> float:
    draw.text((x, baseline), text, palette.TEXT_DIM, font(_TEXT_PX), anchor="ls")
    return x + draw.textlength(text, font(_TEXT_PX)) + 26


def _paste_tile(sheet: Image.Image, tile: Image.Image, corner: tuple[int, int], caption: _Caption) -> None:
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    right, bottom = left + _TILE_WIDTH, top + tile.height
    draw.rectangle((left, top, right - 1, bottom + _CAPTION_HEIGHT - 1), fill=palette.PANEL)
    draw.rectangle((left, top, right - 1, bottom - 1), fill=(0, 0, 0))
    sheet.paste(tile, (left + (_TILE_WIDTH - tile.width) // 2, top))
    middle = top + tile.height // 2
    draw.text((left + 7, middle), "R", palette.TEXT_DIM, font(_SMALL_PX), anchor="lm")
    draw.text((right - 7, middle), "L", palette.TEXT_DIM, font(_SMALL_PX), anchor="rm")
    baseline = bottom + _CAPTION_HEIGHT - 9
    draw.text((left + 9, baseline), f"slice {caption.slice_index}", palette.TEXT, font(_TEXT_PX), anchor="ls")
    draw.text((right - 9, baseline), caption.numbers, palette.TEXT_DIM, font(_TEXT_PX), anchor="rs")


def _draw_chart(sheet: Image.Image, along: list[SliceReport | None], shown: set[int], top: int, target: str) -> None:
    """Probability and area of every slice from head to feet; ticks mark the slices that are shown."""
    draw = ImageDraw.Draw(sheet)
    left, right = _MARGIN, sheet.width - _MARGIN
    bottom, ceiling = top + _CHART_HEIGHT - 12, top + 26
    draw.text((left, top + 15), "head", palette.TEXT_DIM, font(_SMALL_PX), anchor="ls")
    draw.text((right, top + 15), "feet", palette.TEXT_DIM, font(_SMALL_PX), anchor="rs")
    title = [("probability", palette.PROBABILITY), ("  and  ", palette.TEXT_DIM)]
    title += [(f"{target} area", palette.MASK), ("  along the scan", palette.TEXT_DIM)]
    x = (left + right - sum(draw.textlength(text, font(_SMALL_PX)) for text, _ in title)) / 2
    for text, colour in title:
        draw.text((x, top + 15), text, colour, font(_SMALL_PX), anchor="ls")
        x += draw.textlength(text, font(_SMALL_PX))

    probability = np.nan_to_num([0.0 if entry is None else entry.probability for entry in along])
    area = np.array([0.0 if entry is None else entry.area_px for entry in along])
    area = area / max(area.max(), 1.0)
    step = (right - left) / len(along)
    height = bottom - ceiling
    for position, share in enumerate(area):
        if share > 0:
            x = left + position * step
            bar = (x, bottom - share * height, max(x + step - 1, left), bottom)
            draw.rectangle(bar, fill=tuple(channel * 2 // 5 for channel in palette.MASK))
    draw.line((left, bottom, right, bottom), fill=palette.RULE)
    points = [(left + (position + 0.5) * step, bottom - share * height) for position, share in enumerate(probability)]
    draw.line(points if len(points) > 1 else points * 2, fill=palette.PROBABILITY, width=2, joint="curve")
    for position in shown:
        x = left + (position + 0.5) * step
        draw.line((x, bottom + 2, x, bottom + 8), fill=palette.TEXT, width=2)


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font: the same on every platform, with no font file to ship."""
    return ImageFont.load_default(size_px)
