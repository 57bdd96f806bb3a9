"""One step of carrying: what changed on a slice is looked for on the next one, on network pixels.

The next slice's own mask, with what changed on its neighbour put in, goes through the refiner. Near the change, parts
of the answer are taken over where the density goes on from the neighbour, place by place; away from it nothing changes.
Measured in docs/decisions/carrying.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sammix_core.masks.components import component_sizes, component_weights, label_components, select_components
from sammix_core.segmentation.following.density import disc, mean_inside, sd_inside

_SMOOTH_MM = 1.5  # sigma in a slice: less noise, and edges stay
_LOCAL_MM = 4.0  # sigma of the neighbour's own density about a place


@dataclass(frozen=True)
class CarrySettings:
    """How far and how readily a correction is carried.

    Attributes:
        open_mm: Radius of the opening that takes narrow rims off a change: edges differ from slice to slice anyway.
        least_mm2: Area that a change, without its rims, needs to be carried on.
        zone_mm: How far from the change on the neighbour a slice may change.
        part_mm2: Area that each part of a slice's change needs.
        alike_hu: A place is alike if it differs from the neighbour's density there by at most this, or by `alike_sd`
            standard deviations of the neighbour's HU.
        alike_sd: Likewise.
        alike_share: Share of a part that must be alike.
        reach_mm: How far a correction is carried; to the next slice always.
        step_mm: Thin slices: the longest way between two that are segmented again. Those between are interpolated.
    """

    open_mm: float = 2.5
    least_mm2: float = 100.0
    zone_mm: float = 6.0
    part_mm2: float = 20.0
    alike_hu: float = 30.0
    alike_sd: float = 1.5
    alike_share: float = 0.5
    reach_mm: float = 100.0
    step_mm: float = 6.0


@dataclass(frozen=True)
class Change:
    """The mask of a slice before and after it changed, (size, size) bool each."""

    before: np.ndarray
    after: np.ndarray

    @property
    def everything(self) -> np.ndarray:
        """(size, size) bool, what was added and what was removed."""
        return np.asarray(self.before ^ self.after)


@dataclass(frozen=True)
class SliceView:
    """The slice that a change is carried to.

    Attributes:
        hu: (size, size) float32.
        mask: (size, size) bool, its mask so far.
        answer: Returns what the network makes of a mask to begin from, (size, size) bool both.
    """

    hu: np.ndarray
    mask: np.ndarray
    answer: Callable[[np.ndarray], np.ndarray]


def carried(
    change: Change, hu_beside: np.ndarray, here: SliceView, pixels: float, settings: CarrySettings
) -> np.ndarray:
    """Carries a change to the next slice.

    Args:
        change: Of the neighbour.
        hu_beside: (size, size) float32 HU of the neighbour.
        here: The next slice.
        pixels: Network pixels a mm.
        settings: How readily.

    Returns:
        (size, size) bool, the next slice's mask; as it was where nothing is to be carried.
    """
    opening = disc(settings.open_mm * pixels)
    added, removed = (
        ndimage.binary_opening(part, opening) for part in (change.after & ~change.before, change.before & ~change.after)
    )
    if np.count_nonzero(added | removed) < settings.least_mm2 * pixels**2:
        return here.mask
    radius = settings.zone_mm * pixels
    may_come, may_go = _near(added, radius), _near(removed, radius)
    answer = here.answer((here.mask | (may_come & change.after)) & ~(may_go & ~change.after))
    coming, going = may_come & answer & ~here.mask, may_go & ~answer & here.mask
    smooth = ndimage.gaussian_filter(here.hu, _SMOOTH_MM * pixels)
    if coming.any():
        coming = _accepted(coming, _alike(smooth, hu_beside, change.after, pixels, settings), pixels, settings)
    if going.any():
        going = _accepted(going, _alike(smooth, hu_beside, removed, pixels, settings), pixels, settings)
    after = (here.mask | coming) & ~going
    return np.asarray(after | (ndimage.binary_fill_holes(after) & may_come))


def interpolated(first: np.ndarray, second: np.ndarray, share: float, most: float) -> np.ndarray:
    """The mask between two others, by the distances from their edges; far from the edge the nearer mask decides.

    Args:
        first: (rows, cols) bool.
        second: Likewise.
        share: How much of the second one, in [0, 1].
        most: Pixels from the edge from which on all distances count alike.
    """
    return np.asarray((1 - share) * _depth(first, most) + share * _depth(second, most) > 0)


def _depth(mask: np.ndarray, most: float) -> np.ndarray:
    """Pixels to the edge of a mask, negative outside."""
    if not mask.any():
        return np.full(mask.shape, -most)
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return np.asarray(depth.clip(-most, most))


def _near(part: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(ndimage.distance_transform_edt(~part) <= radius) if part.any() else part


def _accepted(part: np.ndarray, alike: np.ndarray, pixels: float, settings: CarrySettings) -> np.ndarray:
    """The components of a part that are large enough and mostly of the density that is expected there."""
    labels, count = label_components(part)
    sizes = component_sizes(labels, count)
    mostly = component_weights(labels, count, alike) >= settings.alike_share * sizes
    return select_components(labels, (sizes >= settings.part_mm2 * pixels**2) & mostly)


def _alike(
    smooth: np.ndarray, hu_beside: np.ndarray, inside: np.ndarray, pixels: float, settings: CarrySettings
) -> np.ndarray:
    """(size, size) bool: where smoothed HU are those of the neighbour in the same place, inside a mask of it."""
    expected = mean_inside(hu_beside, inside, _LOCAL_MM * pixels)
    differences = ndimage.gaussian_filter(hu_beside, _SMOOTH_MM * pixels) - expected
    noise = sd_inside(differences, ndimage.binary_erosion(inside, iterations=2))
    return np.asarray(np.abs(smooth - expected) <= max(settings.alike_hu, settings.alike_sd * noise))
