"""Which pixels of a slice belong to a click: what an Include adds to a mask, and what an Exclude takes out.

A click names one pixel, but means a region: a tip that the mask lacks, a piece of stomach that it holds. Each pixel
near a click gets a score from a logistic model of a few figures, such as the refiner's logits and how much the density
changes on the way from the click. The region is what is connected with the click, scores above a level, and is nearer
to it, in distance and density, than to any click of the other kind. Fitted and measured by `benchmarks/clicks.py`; see
docs/decisions/clicks.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sammix_core.masks.components import (
    component_at,
    component_sizes,
    label_components,
    select_components,
    window_around,
)

REACH_MM = 60.0  # what is farther from a click stays as it is
LEVEL = 0.3  # score from which a pixel belongs to a click
FIGURES = (
    "logit",
    "logit - that of the click",
    "log HU difference from the click",
    "log largest HU difference on the way",
    "log distance from the click",
    "depth",
    "log depth of the click",
    "log distance / depth of the click",
    "log gradient",
    "log HU difference from the mask; negative for an exclude",
    "the same, less that of the click",
    "1",
)
WEIGHTS = np.array([0.154, 0.461, -0.002, -0.443, -0.903, -0.051, 1.726, -1.394, 0.004, 0.016, -0.627, 1.355])
_OWN_DEPTH = FIGURES.index("log depth of the click")
_RELATIVE_DISTANCE = FIGURES.index("log distance / depth of the click")

_HU_LEVELS = (6.0, 9.0, 12.0, 16.0, 20.0, 25.0, 32.0, 40.0, 52.0, 68.0, 90.0, 120.0)
_HU_RANGE = (-200.0, 400.0)
_NO_WAY = 160.0  # HU where no way leads to a pixel
_SMOOTHING_MM = 2.0
_SCORE_SMOOTHING_MM = 1.5  # so that the edge of a region is not frayed by noise
_MOST_SCORE = 6.0
_ABOUT_MM = 2.5  # radius within which the click's own density is measured
_MOST_LOGIT = 8.0
_MOST_DEPTH_MM = 15.0
_LEAST_PIECE_MM2 = 25.0  # a smaller piece that a click leaves behind goes with it


@dataclass(frozen=True, slots=True)
class PixelClick:
    """A click on a canonical slice.

    Attributes:
        row: Its pixel.
        col: Likewise.
        inside: Whether the pixel belongs to the structure.
    """

    row: int
    col: int
    inside: bool


def apply_clicks(
    mask: np.ndarray, logits: np.ndarray, hu: np.ndarray, clicks: Sequence[PixelClick], pixel_mm: tuple[float, float]
) -> np.ndarray:
    """Changes a mask by clicks; their order does not matter.

    Every clicked pixel is as its click says. Clicks of one kind outside of each other's regions act apart.

    Args:
        mask: (rows, cols) bool, before the clicks.
        logits: (rows, cols) of a network that saw mask and clicks; above 0 is inside.
        hu: (rows, cols) HU.
        clicks: No two on one pixel.
        pixel_mm: (row, col) spacing.

    Returns:
        (rows, cols) bool.
    """
    belonging = {inside: np.zeros(mask.shape, dtype=bool) for inside in (True, False)}
    nearness = {inside: np.full(mask.shape, -np.inf) for inside in (True, False)}
    for click in clicks:
        window, scores, near = scores_near(mask, logits, hu, click, pixel_mm)
        belonging[click.inside][window] |= scores > LEVEL
        nearest = nearness[click.inside][window]
        np.maximum(nearest, near, out=nearest, where=scores > LEVEL)
    result = mask.copy()
    for click in clicks:
        # A click on a pixel that is right already only keeps others off.
        if bool(mask[click.row, click.col]) != click.inside:
            window = _window(mask.shape, click, pixel_mm)
            belongs = (mask[window] != click.inside) & belonging[click.inside][window]
            belongs &= nearness[click.inside][window] > nearness[not click.inside][window]
            place = (click.row - window[0].start, click.col - window[1].start)
            belongs[place] = True
            result[window][component_at(belongs, place)] = click.inside
    _tidy(result, mask, clicks, pixel_mm)
    for click in clicks:
        result[click.row, click.col] = click.inside
    return result


def scores_near(
    mask: np.ndarray, logits: np.ndarray, hu: np.ndarray, click: PixelClick, pixel_mm: tuple[float, float]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """How surely pixels belong to a click.

    Returns:
        The window round the click; (rows, cols) float of it, above 0 where a pixel is more likely than not the click's,
        -inf on the other side of the mask's edge and out of reach; and (rows, cols) float to compare clicks by: the
        same, but a click deep in the mask or far outside has no lead over one near the edge.
    """
    window, figures, eligible = figures_near(mask, logits, hu, click, pixel_mm)
    raw = figures @ WEIGHTS
    own_depth = figures[..., _OWN_DEPTH]
    lead = (WEIGHTS[_OWN_DEPTH] - WEIGHTS[_RELATIVE_DISTANCE]) * own_depth
    scores = np.where(eligible, raw.clip(-_MOST_SCORE, _MOST_SCORE), 0.0)
    sigma = [_SCORE_SMOOTHING_MM / size for size in pixel_mm]
    shares = ndimage.gaussian_filter(eligible.astype(float), sigma).clip(min=1e-3)
    return window, np.where(eligible, ndimage.gaussian_filter(scores, sigma) / shares, -np.inf), raw - lead


def figures_near(
    mask: np.ndarray, logits: np.ndarray, hu: np.ndarray, click: PixelClick, pixel_mm: tuple[float, float]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """What a click's scores are made of.

    Returns:
        The window round the click, (rows, cols, figures) in the order of `FIGURES`, and (rows, cols) bool, the pixels
        on the click's side of the mask's edge within reach.
    """
    window = _window(mask.shape, click, pixel_mm)
    place = (click.row - window[0].start, click.col - window[1].start)
    side = mask[window] == mask[click.row, click.col]
    logit = (logits[window] if click.inside else -logits[window]).clip(-_MOST_LOGIT, _MOST_LOGIT)
    sigma = [_SMOOTHING_MM / size for size in pixel_mm]
    smooth = ndimage.gaussian_filter(hu[window].astype(np.float32).clip(*_HU_RANGE), sigma)
    rows, cols = np.ogrid[: side.shape[0], : side.shape[1]]
    distance = np.hypot((rows - place[0]) * pixel_mm[0], (cols - place[1]) * pixel_mm[1])
    own_hu = np.median(smooth[side & (distance <= _ABOUT_MM)])
    mask_hu = np.median(hu[mask]) if mask.any() else own_hu
    difference = np.abs(smooth - own_hu)
    unlike = np.log(np.abs(smooth - mask_hu) + 8) * (1 if click.inside else -1)
    depth = np.full(side.shape, _MOST_DEPTH_MM)
    if not side.all():
        depth = ndimage.distance_transform_edt(side, pixel_mm).clip(max=_MOST_DEPTH_MM)
    own_depth = float(depth[place])
    gradient = np.hypot(*np.gradient(smooth, *pixel_mm))
    figures = (
        logit,
        logit - logit[place],
        np.log(difference + 4),
        np.log(_on_the_way(difference, side, place)),
        np.log(distance + 1),
        depth,
        np.full(side.shape, np.log(own_depth + 1)),
        np.log((distance + 1) / (own_depth + 1)),
        np.log(gradient + 1),
        unlike,
        unlike - unlike[place],
        np.ones(side.shape),
    )
    return window, np.stack(figures, axis=-1), side & (distance <= REACH_MM)


def _on_the_way(difference: np.ndarray, side: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """The largest difference that no way from the click to a pixel avoids, rounded up to a level."""
    result = np.full(difference.shape, _NO_WAY)
    for level in reversed(_HU_LEVELS):
        below = side & (difference <= level)
        below[place] = True
        result[component_at(below, place)] = level
    return result


def _window(shape: tuple[int, ...], click: PixelClick, pixel_mm: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns within reach of a click."""
    rows, cols = (
        slice(max(0, at - reach), min(size, at + reach + 1))
        for at, size, reach in zip(
            (click.row, click.col), shape, (int(REACH_MM / size) for size in pixel_mm), strict=True
        )
    )
    return rows, cols


def _tidy(result: np.ndarray, before: np.ndarray, clicks: Sequence[PixelClick], pixel_mm: tuple[float, float]) -> None:
    """Lets small pieces and holes go that clicks have cut off, in place."""
    least = _LEAST_PIECE_MM2 / (pixel_mm[0] * pixel_mm[1])
    changed = result != before
    if not changed.any():
        return
    # A piece of fewer pixels that touches what has changed lies within as many pixels of it.
    margin = int(np.ceil(least)) + 2
    window = window_around(changed, (margin, margin))
    near, touching = result[window], ndimage.binary_dilation(changed[window])
    first_row, first_col = window[0].start, window[1].start
    for inside in (True, False):
        labels, count = label_components(near == inside)
        small = component_sizes(labels, count) < least
        untouched = np.ones(count, dtype=bool)
        untouched[np.unique(labels[touching & (labels > 0)]) - 1] = False
        for click in clicks:
            row, col = click.row - first_row, click.col - first_col
            if click.inside == inside and 0 <= row < near.shape[0] and 0 <= col < near.shape[1] and labels[row, col]:
                small[labels[row, col] - 1] = False
        near[select_components(labels, small & ~untouched)] = not inside
