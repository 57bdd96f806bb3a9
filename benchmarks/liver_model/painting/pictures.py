"""Pictures of slices to paint from: large, with a grid of pixel numbers, and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

_GRID = 20
_COLOURS = {"painted": (0, 255, 90), "model": (255, 90, 60)}

Crop = tuple[int, int, int, int]  # col_min, row_min, col_max, row_max


def grey(hu: np.ndarray, window: tuple[float, float], scale: float) -> Image.Image:
    """A slice of HU as a picture, enlarged."""
    low, high = window
    values = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1) * 255
    rows, cols = hu.shape
    return Image.fromarray(values.astype(np.uint8)).resize(
        (round(cols * scale), round(rows * scale)), Image.Resampling.BICUBIC
    )


def outline(mask: np.ndarray, scale: float) -> np.ndarray:
    """(height, width) bool: the outline of a mask on the enlarged picture, one pixel wide."""
    rows, cols = mask.shape
    size = (round(cols * scale), round(rows * scale))
    large = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return large & ~ndimage.binary_erosion(large, border_value=1)


def panel(
    hu: np.ndarray,
    crop: Crop,
    window: tuple[float, float],
    scale: float,
    outlines: dict[str, np.ndarray],
    title: str,
    grid: bool = True,
) -> Image.Image:
    """One slice with its outlines, and a grid of pixel numbers round it.

    Args:
        hu: (rows, cols) HU.
        crop: The part that is shown.
        window: (low, high) HU.
        scale: Picture pixels per slice pixel.
        outlines: (rows, cols) bool by name.
        title: Written above.
        grid: Whether faint lines are drawn every 20 pixels.
    """
    col_min, row_min, col_max, row_max = crop
    part = (slice(row_min, row_max), slice(col_min, col_max))
    picture = grey(hu[part], window, scale).convert("RGB")
    pixels = np.array(picture)
    if grid:
        for col in range(-(-col_min // _GRID) * _GRID, col_max, _GRID):
            x = round((col - col_min + 0.5) * scale)
            pixels[:, x : x + 1] = pixels[:, x : x + 1] * 0.72 + np.array([70, 60, 0]) * 0.9
        for row in range(-(-row_min // _GRID) * _GRID, row_max, _GRID):
            y = round((row - row_min + 0.5) * scale)
            pixels[y : y + 1] = pixels[y : y + 1] * 0.72 + np.array([70, 60, 0]) * 0.9
    for name, mask in outlines.items():
        pixels[outline(mask[part], scale)] = _COLOURS[name]
    border = 26
    numbered = _GRID if scale * _GRID >= 30 else 5 * _GRID
    canvas = Image.new("RGB", (pixels.shape[1] + 2 * border, pixels.shape[0] + 2 * border), (20, 20, 24))
    canvas.paste(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), (border, border))
    draw = ImageDraw.Draw(canvas)
    for col in range(-(-col_min // numbered) * numbered, col_max, numbered):
        x = border + round((col - col_min + 0.5) * scale)
        for y in (border - 11, canvas.height - border + 1):
            draw.text((x - 8, y), str(col), fill=(230, 220, 120))
    for row in range(-(-row_min // numbered) * numbered, row_max, numbered):
        y = border + round((row - row_min + 0.5) * scale)
        for x in (2, canvas.width - border + 3):
            draw.text((x, y - 5), str(row), fill=(230, 220, 120))
    draw.text((4, 1), title, fill=(255, 255, 255))
    return canvas


def beside(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    """Pictures of one size in rows."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    canvas = Image.new("RGB", (width * min(columns, len(pictures)), height * rows))
    for number, picture in enumerate(pictures):
        canvas.paste(picture, (number % columns * width, number // columns * height))
    return canvas
