"""Lesions by a click: what is about as dense as the place that was clicked, and hangs together with it, in the liver.

A lesion's HU is read round the click, the liver's over the whole liver, and what is nearer to the lesion's belongs to
it. No weights take part, so it works on any CT where lesion and liver differ. Figures: docs/msam.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sammix_core.errors import InputError
from sammix_core.volume import Volume

Ijk = tuple[int, int, int]

SMOOTHED_MM = 1.3  # sigma: less than the radius of the smallest lesion that is measured
BRIDGE_MM = 1.8  # radius of the ball that a lesion's core must hold: vessels and noise between two lesions do not
SMALL_MM = 5.0  # how far a lesion may reach that is nowhere as thick as such a ball
CLOSED_MM = 5.0  # how deep a lesion that the liver's mask leaves out may lie in its surface
_LEVEL_SHARE = 0.5  # of the way from the lesion's HU to the liver's
EDGE_SMOOTHED_MM = 0.9  # the edge is looked at anew in a sharper image, since smoothing draws small lesions in
_EDGE_SHARE = 0.6
_LEAST_HU = 8.0  # a difference to the liver that the noise of a smoothed CT seldom makes
_VOXELS_MM = 1.85  # what a voxel is taken for where the spacing is unknown
_LOWEST, _HIGHEST = -160.0, 240.0


class LiverDensity:
    """A CT smoothed a little, with its liver; made once, then asked for any number of lesions.

    Only a box round the liver is kept and computed on.

    Args:
        volume: The CT.
        liver: (k, j, i), non-zero inside.

    Attributes:
        liver_hu: What most of the liver has.

    Raises:
        InputError: The mask is empty or on another grid.
    """

    def __init__(self, volume: Volume, liver: np.ndarray) -> None:
        if liver.shape != volume.array.shape:
            raise InputError("The liver's mask and the CT have different grids.")
        if not liver.any():
            raise InputError("The liver's mask is empty, so there is no place for a lesion in it.")
        self._shape = volume.shape_kji
        self._order = volume.axial_order
        k, j, i = volume.spacing[::-1] if volume.spacing_known else (_VOXELS_MM,) * 3
        self._mm = np.array([k, j, i])
        self._box = self._round(liver != 0)
        inside = liver[self._box] != 0
        clipped = np.clip(volume.array[self._box], _LOWEST, _HIGHEST).astype(np.float32)
        self._region = self._filled(inside)
        self._smoothed = self._smooth(clipped, SMOOTHED_MM)
        self._sharper = self._smooth(clipped, EDGE_SMOOTHED_MM)
        self.liver_hu = float(np.median(self._smoothed[inside]))

    def check(self, ijk: Ijk, inside: bool) -> None:
        """Refuses a click that cannot be used.

        Raises:
            InputError: It is outside the CT; or, inside a lesion, outside the liver or on nothing that stands out.
        """
        text = ",".join(map(str, ijk))
        n_k, n_j, n_i = self._shape
        if not all(0 <= at < size for at, size in zip(ijk, (n_i, n_j, n_k), strict=True)):
            raise InputError(f"The click {text} lies outside the CT of {n_i} x {n_j} x {n_k} voxels.")
        if not inside:
            return
        place = self._within(ijk)
        size = self._region.shape
        if not all(0 <= at < n for at, n in zip(place, size, strict=True)) or not self._region[place]:
            raise InputError(f"The click {text} lies outside the liver.")
        level = self._level_at(place)
        if abs(level - self.liver_hu) < _LEAST_HU:
            raise InputError(
                f"The click {text} shows nothing that stands out: {level:.0f} HU, and the liver has "
                f"{self.liver_hu:.0f} HU."
            )

    def grown(self, within: Sequence[Ijk], outside: Sequence[Ijk]) -> np.ndarray:
        """The lesion that has these places and not those.

        Args:
            within: Voxels inside, checked.
            outside: Voxels outside; what is nearer to one of them than to any inside is none of the lesion.

        Returns:
            (k, j, i) bool on the CT's grid.
        """
        found = np.zeros(self._region.shape, dtype=bool)
        for ijk in within:
            found |= self._grown_from(self._within(ijk))
        if outside:
            places = np.argwhere(found)
            near, far = (self._nearest(places, clicks) for clicks in (within, outside))
            found[tuple(places[near > far].T)] = False
        whole = np.zeros(self._shape, dtype=bool)
        whole[self._box] = found
        return whole

    def _within(self, ijk: Ijk) -> tuple[int, int, int]:
        """A voxel's (k, j, i) in the box."""
        k, j, i = (int(at) - part.start for at, part in zip(ijk[::-1], self._box, strict=True))
        return k, j, i

    def _level_at(self, place: tuple[int, int, int]) -> float:
        near = tuple(slice(max(0, at - 1), at + 2) for at in place)
        return float(np.median(self._smoothed[near]))

    def _grown_from(self, place: tuple[int, int, int]) -> np.ndarray:
        alike = self._alike(self._smoothed, self._level_at(place), _LEVEL_SHARE)
        ball = self._ball(BRIDGE_MM)
        core = ndimage.binary_opening(alike, ball)
        if not core[place]:  # thinner than a bridge: what is near, since the rest may be the rim of the liver
            near = (slice(max(0, at - n), at + n + 1) for at, n in zip(place, self._voxels(SMALL_MM), strict=True))
            core = np.zeros_like(alike)
            cut = tuple(near)
            core[cut] = alike[cut]
        parts, _ = ndimage.label(core)
        found = (parts == parts[place]) & (parts > 0)
        if not found.any():
            return found
        found = ndimage.binary_dilation(found, ball, mask=alike)
        edge = self._alike(self._sharper, float(np.median(self._sharper[found])), _EDGE_SHARE)
        return ndimage.binary_dilation(found, ball, mask=edge | found)

    def _alike(self, image: np.ndarray, hu: float, share: float) -> np.ndarray:
        """What in the liver lies beyond a share of the way from a lesion's HU to the liver's: (k, j, i) bool."""
        border = hu + (self.liver_hu - hu) * share
        return self._region & (image < border if hu < self.liver_hu else image > border)

    def _nearest(self, places: np.ndarray, clicks: Sequence[Ijk]) -> np.ndarray:
        """(n,) mm from each place (n, 3) in the box to the nearest click."""
        ways = [np.linalg.norm((places - np.array(self._within(ijk))) * self._mm, axis=1) for ijk in clicks]
        return np.min(ways, axis=0)

    def _round(self, inside: np.ndarray) -> tuple[slice, slice, slice]:
        """The liver's box with a margin for what is closed."""
        found = []
        for axis, (size, mm) in enumerate(zip(inside.shape, self._mm, strict=True)):
            held = np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis})))
            margin = 1 + int(2 * CLOSED_MM / mm)
            found.append(slice(max(0, int(held[0]) - margin), min(size, int(held[-1]) + 1 + margin)))
        return found[0], found[1], found[2]

    def _filled(self, inside: np.ndarray) -> np.ndarray:
        """Notches closed, and the holes of each slice filled: (k, j, i) bool."""
        # By distances: a ball of many voxels as a structuring element takes minutes.
        margin = [1 + int(CLOSED_MM / mm) for mm in self._mm]
        padded = np.pad(inside, [(n, n) for n in margin])
        grown = ndimage.distance_transform_edt(~padded, sampling=self._mm) <= CLOSED_MM
        closed = padded | (ndimage.distance_transform_edt(grown, sampling=self._mm) > CLOSED_MM)
        closed = closed[tuple(slice(n, -n) for n in margin)]
        return self._order.back(np.stack([ndimage.binary_fill_holes(one) for one in self._order.forward(closed)]))

    def _smooth(self, image: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Smoothed by what lies in the liver alone, so that fat and lung do not darken its rim."""
        weights = ndimage.gaussian_filter(self._region.astype(np.float32), sigma_mm / self._mm)
        summed = ndimage.gaussian_filter(np.where(self._region, image, 0), sigma_mm / self._mm)
        return summed / np.maximum(weights, 1e-6)

    def _voxels(self, radius_mm: float) -> list[int]:
        """A length in voxels (k, j, i), at least one within a slice."""
        reach = [round(radius_mm / mm) for mm in self._mm]
        for axis in self._order.axes[1:]:
            reach[2 - axis] = max(1, reach[2 - axis])
        return reach

    def _ball(self, radius_mm: float) -> np.ndarray:
        """A structuring element (k, j, i): a ball, at least a cross in each slice."""
        reach = self._voxels(radius_mm)
        grid = np.indices([2 * n + 1 for n in reach])
        apart = np.stack([(place - n) / max(n, 1) for place, n in zip(grid, reach, strict=True)])
        return np.linalg.norm(apart, axis=0) <= 1.0


@dataclass(frozen=True)
class _Click:
    ijk: Ijk
    inside: bool


class GrownLesion:
    """One lesion by clicks: the first finds it, further ones add to it or take from it; each can be taken back.

    Args:
        density: The liver that it lies in.
    """

    def __init__(self, density: LiverDensity) -> None:
        self._density = density
        self._clicks: list[_Click] = []
        self._masks: list[np.ndarray] = []

    @property
    def clicks(self) -> int:
        """How many there are."""
        return len(self._clicks)

    @property
    def mask(self) -> np.ndarray:
        """(k, j, i) bool; empty before the first click."""
        return self._masks[-1].copy() if self._masks else self._density.grown([], [])

    def click(self, ijk: Ijk, inside: bool = True) -> None:
        """One more click.

        Args:
            ijk: Voxel of the CT.
            inside: Whether it belongs to the lesion. What is nearer to a place outside than to any inside goes.

        Raises:
            InputError: The click is outside the CT or the liver, shows nothing but liver, or the first is no place
                inside; the lesion stays as it was.
        """
        if not inside and not self._clicks:
            raise InputError("A lesion begins with a click inside it.")
        self._density.check(ijk, inside)
        clicks = [*self._clicks, _Click(ijk, inside)]
        places = {kind: [click.ijk for click in clicks if click.inside is kind] for kind in (True, False)}
        self._masks.append(self._density.grown(places[True], places[False]))
        self._clicks = clicks

    def undo(self) -> None:
        """Takes the last click back; without one nothing happens."""
        if self._clicks:
            self._clicks = self._clicks[:-1]
            self._masks.pop()


def grow_lesions(volume: Volume, liver: np.ndarray, clicks: Sequence[Ijk], outside: Sequence[Ijk] = ()) -> np.ndarray:
    """A lesion for each click.

    Args:
        volume: The CT.
        liver: (k, j, i), non-zero inside.
        clicks: Voxels (i, j, k), one or more in each lesion.
        outside: Voxels that are of no lesion.

    Returns:
        (k, j, i) bool, all lesions together.

    Raises:
        InputError: The liver's mask or a click cannot be used.
    """
    density = LiverDensity(volume, liver)
    for inside, places in ((True, clicks), (False, outside)):
        for ijk in places:
            density.check(ijk, inside)
    return density.grown(clicks, outside)
