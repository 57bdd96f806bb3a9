"""Where the network's square image lies on a canonical axial slice, and the way of images, boxes and maps between them.

Frames used here, each named in every variable that holds it:

* *slice pixels*: (row, col) of the canonical axial slice (`AxialOrder.forward`), row to posterior, col to the
  patient's left;
* *network pixels*: (y, x) of the `size` x `size` image that the encoder sees. Pixel centres lie at integers + 0.5 in
  both, so that edges of pixels are whole numbers and half-open boxes map edge to edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """Where the network's square image lies on the canonical axial slice: one a volume.

    Attributes:
        row0, col0: Upper left corner of the crop, in slice pixels (whole numbers, may be negative: padding).
        rows, cols: Size of the crop in slice pixels before padding to a square.
        size: Side of the network image.
        scale_y, scale_x: Network pixels per slice pixel; they differ when pixels are not square, so that millimetres
            keep their aspect.
        pad_y, pad_x: Network pixels of air above and left of the crop.
    """

    row0: int
    col0: int
    rows: int
    cols: int
    size: int
    scale_y: float
    scale_x: float
    pad_y: float
    pad_x: float

    @classmethod
    def for_crop(cls, crop: tuple[int, int, int, int], pixel_mm: tuple[float, float], size: int) -> Frame:
        """Fits a crop into the square network image with its aspect in mm kept.

        Args:
            crop: (row_min, col_min, row_max, col_max), half-open, slice pixels.
            pixel_mm: (row, col) spacing in mm.
            size: Side of the network image.
        """
        row_min, col_min, row_max, col_max = crop
        rows, cols = row_max - row_min, col_max - col_min
        height_mm, width_mm = rows * pixel_mm[0], cols * pixel_mm[1]
        per_mm = size / max(height_mm, width_mm)
        scale_y, scale_x = per_mm * pixel_mm[0], per_mm * pixel_mm[1]
        return cls(
            row_min,
            col_min,
            rows,
            cols,
            size,
            scale_y,
            scale_x,
            (size - rows * scale_y) / 2,
            (size - cols * scale_x) / 2,
        )

    def box_to_network(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Maps a half-open (col_min, row_min, col_max, row_max) in slice pixels to (x_min, y_min, x_max, y_max)."""
        x = [(c - self.col0) * self.scale_x + self.pad_x for c in (box[0], box[2])]
        y = [(r - self.row0) * self.scale_y + self.pad_y for r in (box[1], box[3])]
        return x[0], y[0], x[1], y[1]

    def box_to_slice(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Maps network pixels (x_min, y_min, x_max, y_max) to slice pixels (col_min, row_min, col_max, row_max)."""
        cols = [(x - self.pad_x) / self.scale_x + self.col0 for x in (box[0], box[2])]
        rows = [(y - self.pad_y) / self.scale_y + self.row0 for y in (box[1], box[3])]
        return cols[0], rows[0], cols[1], rows[1]

    def to_network(self, image: np.ndarray, fill: float) -> np.ndarray:
        """Resamples a slice to the network image: area-averaging where it shrinks, linear where it grows.

        Args:
            image: (rows, cols) float32 on slice pixels.
            fill: Value outside the slice.

        Returns:
            (size, size) float32.
        """
        weights_y = _resize_weights(image.shape[0], self.size, self.scale_y, self.row0, self.pad_y)
        weights_x = _resize_weights(image.shape[1], self.size, self.scale_x, self.col0, self.pad_x)
        inside = weights_y.sum(1)[:, None] * weights_x.sum(1)[None, :]
        return (weights_y @ image @ weights_x.T + fill * (1 - inside)).astype(np.float32)

    def to_slice(self, network_map: np.ndarray, shape: tuple[int, int], fill: float) -> np.ndarray:
        """Resamples a square map in the network frame (any resolution) linearly to slice pixels.

        Args:
            network_map: (n, n) float32 covering the network image, for example 256 x 256 logits or a 64 x 64 CAM.
            shape: (rows, cols) of the slice.
            fill: Value outside the network image.

        Returns:
            (rows, cols) float32.
        """
        factor = network_map.shape[0] / self.size
        rows, row_inside = _linear_taps(shape[0], self.scale_y, self.row0, self.pad_y, factor, network_map.shape[0])
        cols, col_inside = _linear_taps(shape[1], self.scale_x, self.col0, self.pad_x, factor, network_map.shape[1])
        (low_r, high_r, part_r), (low_c, high_c, part_c) = rows, cols
        lines = network_map[low_r] * (1 - part_r)[:, None] + network_map[high_r] * part_r[:, None]
        result = lines[:, low_c] * (1 - part_c) + lines[:, high_c] * part_c
        result[~row_inside] = fill
        result[:, ~col_inside] = fill
        return result.astype(np.float32)

    def at_cells(self, mask: np.ndarray, cells: int) -> np.ndarray:
        """Samples a mask at the centres of a coarse grid over the network image, such as a CAM's.

        Args:
            mask: (rows, cols) bool on slice pixels.
            cells: Cells along a side.

        Returns:
            (cells, cells) bool; False outside the slice.
        """
        centres = (np.arange(cells) + 0.5) * self.size / cells
        taps = []
        for length, scale, start, pad in (
            (mask.shape[0], self.scale_y, self.row0, self.pad_y),
            (mask.shape[1], self.scale_x, self.col0, self.pad_x),
        ):
            pixels = np.floor((centres - pad) / scale + start).astype(int)
            taps.append((np.clip(pixels, 0, length - 1), (pixels >= 0) & (pixels < length)))
        (rows, row_inside), (cols, col_inside) = taps
        return mask[np.ix_(rows, cols)] & row_inside[:, None] & col_inside[None, :]


def _resize_weights(source: int, size: int, scale: float, start: float, pad: float) -> np.ndarray:
    """Triangle-filter weights (size, source) of one axis; a row sums to less than 1 where it reaches past the slice."""
    centres = (np.arange(size) + 0.5 - pad) / scale + start - 0.5
    support = max(1.0, 1.0 / scale)
    distance = np.abs(np.arange(source)[None, :] - centres[:, None]) / support
    weights = np.clip(1 - distance, 0, None)
    # The full sum counts the taps outside the slice as well, so that they turn into the fill value.
    reach = np.arange(-math.ceil(support) - 1, math.ceil(support) + 2)
    whole = np.round(centres)[:, None] + reach[None, :]
    total = np.clip(1 - np.abs(whole - centres[:, None]) / support, 0, None).sum(1)
    return (weights / total[:, None]).astype(np.float32)


def _linear_taps(
    count: int, scale: float, start: float, pad: float, factor: float, limit: int
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Indices and fractions for linear sampling of a network map at the slice's pixel centres along one axis."""
    position = ((np.arange(count) + 0.5 - start) * scale + pad) * factor
    inside = (position >= 0) & (position <= limit)
    position = np.clip(position - 0.5, 0, limit - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, limit - 1)
    return (low, high, (position - low).astype(np.float32)), inside
