"""One slice as a picture: grey anatomy, the map's heat, the mask's fill and contour, the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from sammix_core.boxes import BoxSource
from sammix_core.evaluation.preview import palette
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import window

# The network's, so that the sheet shows what the network sees.
WINDOW = PreprocessingSpec()

_HEAT_ALPHA = 0.36
_HEAT_FROM = 0.2
_FILL_ALPHA = 0.13
_CONTOUR_PX = 1.4
# The contour is found on a finer grid and averaged down, which makes it smooth.
_OVERSAMPLING = 3


@dataclass(frozen=True)
class TileFrame:
    """How a canonical slice is laid onto a tile.

    Attributes:
        crop: Half-open (row_min, col_min, row_max, col_max) of the slice that the tile shows.
        spacing_mm: (row, column) of the slice in mm.
        size_px: (width, height) of the tile.
    """

    crop: tuple[int, int, int, int]
    spacing_mm: tuple[float, float]
    size_px: tuple[int, int]

    @classmethod
    def fit(
        cls, crop: tuple[int, int, int, int], spacing_mm: tuple[float, float], width_px: int, most_height_px: int
    ) -> TileFrame:
        """The largest frame that keeps the aspect in mm within a width and a height."""
        height_mm = (crop[2] - crop[0]) * spacing_mm[0]
        width_mm = (crop[3] - crop[1]) * spacing_mm[1]
        px_per_mm = min(width_px / width_mm, most_height_px / height_mm)
        return cls(crop, spacing_mm, (max(round(width_mm * px_per_mm), 1), max(round(height_mm * px_per_mm), 1)))

    def resample(self, canonical: np.ndarray, how: Image.Resampling, finer: int = 1) -> np.ndarray:
        """Resamples the shown part of a (row, column) array to (height, width) pixels, float32."""
        row_min, col_min, row_max, col_max = self.crop
        part = np.ascontiguousarray(canonical[row_min:row_max, col_min:col_max], dtype=np.float32)
        size = (self.size_px[0] * finer, self.size_px[1] * finer)
        return np.asarray(Image.fromarray(part).resize(size, how), dtype=np.float32)

    def box_px(self, canonical_box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Pixels of a half-open canonical (col_min, row_min, col_max, row_max): left, top, right, bottom, inclusive."""
        row_min, col_min, row_max, col_max = self.crop
        width, height = self.size_px
        x_scale, y_scale = width / (col_max - col_min), height / (row_max - row_min)
        left, right = ((edge - col_min) * x_scale for edge in canonical_box[0::2])
        top, bottom = ((edge - row_min) * y_scale for edge in canonical_box[1::2])
        return round(left), round(top), round(right) - 1, round(bottom) - 1


def draw_tile(
    frame: TileFrame,
    hu: np.ndarray,
    cam: np.ndarray,
    mask: np.ndarray,
    boxes: Sequence[tuple[tuple[int, int, int, int], BoxSource]],
) -> Image.Image:
    """Draws one canonical slice with map, mask and boxes.

    Args:
        frame: Which part of it to show, and how large.
        hu: (row, column) in HU.
        cam: (row, column), 0 to 1.
        mask: (row, column), non-zero is the organ.
        boxes: Half-open canonical (col_min, row_min, col_max, row_max) of each box, and who set it.

    Returns:
        An RGB picture of `frame.size_px`.
    """
    grey = window(hu, WINDOW) * 255.0
    picture = np.repeat(frame.resample(grey, Image.Resampling.LANCZOS)[..., None].clip(0, 255), 3, axis=2)

    warmth = frame.resample(cam, Image.Resampling.BILINEAR).clip(0.0, 1.0)
    picture = _blend(
        picture, palette.heat(warmth), _HEAT_ALPHA * np.clip((warmth - _HEAT_FROM) / (1 - _HEAT_FROM), 0, 1)
    )
    if mask.any():
        fill, contour = _mask_layers(frame, mask)
        colour = np.array(palette.MASK, np.float32)
        picture = _blend(picture, colour, _FILL_ALPHA * fill)
        picture = _blend(picture, colour, contour)

    tile = Image.fromarray(np.rint(picture).clip(0, 255).astype(np.uint8))
    for canonical_box, source in boxes:
        _draw_box(tile, frame.box_px(canonical_box), palette.BOX[source])
    return tile


def _mask_layers(frame: TileFrame, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage of every pixel by the mask and by its contour, (height, width) each, 0 to 1."""
    fine = frame.resample(mask != 0, Image.Resampling.BICUBIC, finer=_OVERSAMPLING) >= 0.5
    # Padded, so that a liver cut by the edge of the tile has no contour along that edge.
    depth = ndimage.distance_transform_edt(np.pad(fine, 1, mode="edge"))[1:-1, 1:-1]
    contour = fine & (depth <= _CONTOUR_PX * _OVERSAMPLING)
    return _average_down(fine), _average_down(contour)


def _average_down(fine: np.ndarray) -> np.ndarray:
    height, width = (size // _OVERSAMPLING for size in fine.shape)
    return fine.reshape(height, _OVERSAMPLING, width, _OVERSAMPLING).mean(axis=(1, 3), dtype=np.float32)


def _blend(picture: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return picture + (colour - picture) * alpha[..., None]


def _draw_box(tile: Image.Image, edges_px: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = edges_px
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    draw = ImageDraw.Draw(tile, "RGBA")
    # A dark line outside keeps the box visible on bone and contrast medium.
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0, 130))
    draw.rectangle((left, top, right, bottom), outline=(*colour, 255), width=2)
