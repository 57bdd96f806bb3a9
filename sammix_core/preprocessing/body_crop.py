"""One crop round the body for a whole volume, and the network's frame for it."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from sammix_core.masks.components import component_sizes, label_components, select_components
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec

_CUT_EDGE_SHARE = 0.3  # an edge of the slice with more body than this cuts it off
_CUT_GROWTH = 1.5
BODY_HU = -300.0  # between lung or air and fat: separates the body from the air around it


def body_crop(axial: np.ndarray, pixel_mm: tuple[float, float], margin_mm: float) -> tuple[int, int, int, int]:
    """Finds one crop for a whole volume that holds the body on practically every slice.

    The body is the largest connected region above -300 HU on each sampled slice after an opening that cuts off the
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
    edges = np.array(boxes) * step
    margin = [max(1, round(margin_mm / mm)) for mm in pixel_mm]
    return (
        max(0, int(edges[:, 0].min()) - margin[0]),
        max(0, int(edges[:, 1].min()) - margin[1]),
        min(rows, int(edges[:, 2].max()) + margin[0]),
        min(cols, int(edges[:, 3].max()) + margin[1]),
    )


def body_mask(hu_slice: np.ndarray) -> np.ndarray:
    """Marks the body on one (coarse) axial slice: bool, same shape, holes filled; empty where there is only air."""
    solid = ndimage.binary_opening(hu_slice > BODY_HU, iterations=2)
    labels, count = label_components(solid)
    if count == 0:
        return solid
    sizes = component_sizes(labels, count)
    if sizes.max() < 0.01 * hu_slice.size:
        return np.zeros_like(solid)
    # Every large piece counts: arms apart from the trunk do no harm, a trunk cut in two would.
    large = select_components(labels, sizes >= 0.25 * sizes.max())
    return ndimage.binary_fill_holes(large)


def volume_frame(
    axial: np.ndarray, pixel_mm: tuple[float, float], spec: PreprocessingSpec, spacing_known: bool = True
) -> Frame:
    """Chooses the frame of a volume: its body crop, or the whole slice for a model without a crop.

    Args:
        axial: (slices, rows, cols) HU in canonical axial order.
        pixel_mm: (row, col) spacing in mm.
        spec: The model's preprocessing.
        spacing_known: Whether `pixel_mm` are real millimetres.
    """
    whole = (0, 0, axial.shape[1], axial.shape[2])
    crop = body_crop(axial, pixel_mm, spec.body_margin_mm) if spec.body_crop else whole
    return Frame.for_crop(_at_least_as_wide(crop, axial, pixel_mm, spec, spacing_known), pixel_mm, spec.size)


def _at_least_as_wide(
    crop: tuple[int, int, int, int],
    axial: np.ndarray,
    pixel_mm: tuple[float, float],
    spec: PreprocessingSpec,
    spacing_known: bool,
) -> tuple[int, int, int, int]:
    """Grows a crop evenly, past the slice's edges where it must, until it is as wide as in training."""
    extent = max((crop[2] - crop[0]) * pixel_mm[0], (crop[3] - crop[1]) * pixel_mm[1])
    least_extent = spec.least_extent_mm
    if not spacing_known:
        middle = axial[len(axial) // 2]
        borders = (middle[0], middle[-1], middle[:, 0], middle[:, -1])
        cut = sum(float((border > BODY_HU).mean()) > _CUT_EDGE_SHARE for border in borders)
        least_extent = extent * _CUT_GROWTH if cut >= 2 else extent
    if extent >= least_extent:
        return crop
    row_more, col_more = (round((least_extent - extent) / 2 / mm) for mm in pixel_mm)
    return crop[0] - row_more, crop[1] - col_more, crop[2] + row_more, crop[3] + col_more
