"""From a canonical axial slice in HU to the network's square frame, and boxes and masks back again.

There is one HU window and one resize, used by training, inference and the Slicer module alike; a model's manifest
records them as `PreprocessingSpec` and loading checks them.

Frames used here, each named in every variable that holds it:

* *slice pixels*: (row, col) of the canonical axial slice (`AxialOrder.forward`), row to posterior, col to the
  patient's left;
* *network pixels*: (y, x) of the `size` x `size` image that the encoder sees. Pixel centres lie at integers + 0.5 in
  both, so that edges of pixels are whole numbers and half-open boxes map edge to edge.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from sammix_core.errors import InputError

AIR_HU = -1024.0
_CUT_EDGE_SHARE = 0.3  # an edge of the slice with more body than this cuts it off
_CUT_GROWTH = 1.5
BODY_HU = -300.0  # between lung or air and fat: separates the body from the air around it


@dataclass(frozen=True)
class PreprocessingSpec:
    """What a model was trained with: HU window, network size and body crop.

    Attributes:
        window_level: Centre of the HU window.
        window_width: Width of the HU window; the window's ends become 0 and 1.
        size: Side of the network's square image in pixels.
        body_crop: Whether one crop a volume, round the body, is made before resizing.
        body_margin_mm: Margin left round the body by that crop (in pixels when the spacing is unknown).
        least_extent_mm: The frame is never smaller than this: a crop close about the liver is padded, so that organs
            keep the size that the model knows. Where the spacing is unknown, a body that is cut off is padded by half.
    """

    window_level: float = 40.0
    window_width: float = 400.0
    size: int = 256
    body_crop: bool = True
    body_margin_mm: float = 10.0
    least_extent_mm: float = 330.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as a plain dict for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> PreprocessingSpec:
        """Reads the fields from a manifest.

        Raises:
            InputError: A field is missing or not known to this version.
        """
        try:
            return cls(**fields)
        except TypeError as error:
            raise InputError(f"The model's preprocessing is not one that this version knows ({error}).") from error


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
        """Looks a mask up at the centres of a coarse grid over the network image, such as a CAM's.

        Args:
            mask: (rows, cols) bool on slice pixels.
            cells: Cells along a side.

        Returns:
            (cells, cells) bool; False outside the slice.
        """
        centres = (np.arange(cells) + 0.5) * self.size / cells
        found = []
        for length, scale, start, pad in (
            (mask.shape[0], self.scale_y, self.row0, self.pad_y),
            (mask.shape[1], self.scale_x, self.col0, self.pad_x),
        ):
            place = np.floor((centres - pad) / scale + start).astype(int)
            found.append((np.clip(place, 0, length - 1), (place >= 0) & (place < length)))
        (rows, row_inside), (cols, col_inside) = found
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


def window(hu: np.ndarray, spec: PreprocessingSpec) -> np.ndarray:
    """Maps HU to [0, 1] float32 through the model's window; padding values such as -3024 end at 0."""
    low = spec.window_level - spec.window_width / 2
    # In one memory order: a product of matrices may round otherwise for a slice that is a turned view of its volume.
    return np.clip((hu.astype(np.float32, order="C") - low) / spec.window_width, 0, 1)


def slice_image(hu_slice: np.ndarray, frame: Frame, spec: PreprocessingSpec) -> np.ndarray:
    """Makes the encoder's input of one canonical axial slice.

    Args:
        hu_slice: (rows, cols) HU.
        frame: The volume's frame.
        spec: The model's preprocessing.

    Returns:
        (size, size) float32 in [0, 1].
    """
    return frame.to_network(window(hu_slice, spec), fill=0.0)


def body_crop(axial: np.ndarray, pixel_mm: tuple[float, float], margin_mm: float) -> tuple[int, int, int, int]:
    """Finds one crop for a whole volume that holds the body on practically every slice.

    The body is the largest connected region above -300 HU on each looked-at slice after an opening that cuts off the
    table. The crop is the union over those slices: cutting a liver costs more than a few pixels of resolution gain.

    Args:
        axial: (slices, rows, cols) HU in canonical axial order.
        pixel_mm: (row, col) spacing.
        margin_mm: Margin left round the body.

    Returns:
        (row_min, col_min, row_max, col_max), half-open slice pixels, within the slice; the whole slice where no body
        is found.
    """
    count, rows, cols = axial.shape
    step = max(1, math.ceil(max(rows, cols) / 128))
    boxes = []
    for index in np.unique(np.linspace(0, count - 1, min(count, 48)).round().astype(int)):
        body = body_mask(axial[index, ::step, ::step])
        if body.any():
            row_hits, col_hits = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
            boxes.append((row_hits[0], col_hits[0], row_hits[-1] + 1, col_hits[-1] + 1))
    if not boxes:
        return 0, 0, rows, cols
    found = np.array(boxes) * step
    margin = [max(1, round(margin_mm / mm)) for mm in pixel_mm]
    return (
        max(0, int(found[:, 0].min()) - margin[0]),
        max(0, int(found[:, 1].min()) - margin[1]),
        min(rows, int(found[:, 2].max()) + margin[0]),
        min(cols, int(found[:, 3].max()) + margin[1]),
    )


def body_mask(hu_slice: np.ndarray) -> np.ndarray:
    """Marks the body on one (coarse) axial slice: bool, same shape, holes filled; empty where there is only air."""
    solid = ndimage.binary_opening(hu_slice > BODY_HU, iterations=2)
    labels, count = ndimage.label(solid)
    if count == 0:
        return solid
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.max() < 0.01 * hu_slice.size:
        return np.zeros_like(solid)
    # Every large piece counts: arms apart from the trunk do no harm, a trunk cut in two would.
    kept = np.isin(labels, 1 + np.flatnonzero(sizes >= 0.25 * sizes.max()))
    return ndimage.binary_fill_holes(kept)


def volume_frame(
    axial: np.ndarray, pixel_mm: tuple[float, float], spec: PreprocessingSpec, spacing_known: bool = True
) -> Frame:
    """Chooses the frame of a volume: its body crop, or the whole slice when the model wants none.

    Args:
        axial: (slices, rows, cols) HU in canonical axial order.
        pixel_mm: (row, col) spacing in mm.
        spec: The model's preprocessing.
        spacing_known: Whether `pixel_mm` are real millimetres.
    """
    whole = (0, 0, axial.shape[1], axial.shape[2])
    crop = body_crop(axial, pixel_mm, spec.body_margin_mm) if spec.body_crop else whole
    return Frame.for_crop(_not_too_close(crop, axial, pixel_mm, spec, spacing_known), pixel_mm, spec.size)


def _not_too_close(
    crop: tuple[int, int, int, int],
    axial: np.ndarray,
    pixel_mm: tuple[float, float],
    spec: PreprocessingSpec,
    spacing_known: bool,
) -> tuple[int, int, int, int]:
    """Grows a crop evenly, past the slice's edges where it must, until it is as wide as the model is used to."""
    extent = max((crop[2] - crop[0]) * pixel_mm[0], (crop[3] - crop[1]) * pixel_mm[1])
    wanted = spec.least_extent_mm
    if not spacing_known:
        middle = axial[len(axial) // 2]
        edges = (middle[0], middle[-1], middle[:, 0], middle[:, -1])
        cut = sum(float((edge > BODY_HU).mean()) > _CUT_EDGE_SHARE for edge in edges)
        wanted = extent * _CUT_GROWTH if cut >= 2 else extent
    if extent >= wanted:
        return crop
    row_more, col_more = (round((wanted - extent) / 2 / mm) for mm in pixel_mm)
    return crop[0] - row_more, crop[1] - col_more, crop[2] + row_more, crop[3] + col_more
