"""The liver's density: a CT smoothed a little within the liver, and what of it differs from the rest."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.errors import InputError
from sammix_core.refinement.protocol import Ijk, check_voxel
from sammix_core.volume.volume import Volume

Place = tuple[int, int, int]

SMOOTHED_MM = 1.3  # sigma: less than the radius of the smallest lesion that is measured
EDGE_SMOOTHED_MM = 0.9  # edges are looked at anew in a sharper image, since smoothing draws small lesions in
CLOSED_MM = 5.0  # how deep a lesion that the liver's mask leaves out may lie in its surface
LEAST_HU = 8.0  # a difference to the liver that the noise of a smoothed CT seldom makes
_VOXELS_MM = 1.85  # what a voxel is taken for where the spacing is unknown
_LOWEST, _HIGHEST = -160.0, 240.0


class LiverDensity:
    """A CT smoothed a little, with its liver; made once, then asked for any number of lesions.

    Only a box round the liver is kept and computed on; all arrays below are (k, j, i) in that box.

    Args:
        volume: The CT.
        liver: (k, j, i) on the CT's grid, non-zero inside.

    Attributes:
        region: bool, the liver with its notches closed and the holes of its slices filled: where lesions may be.
        liver: bool, the mask with the holes of its slices filled and no notch closed.
        smoothed: float32 HU.
        sharper: float32 HU, smoothed less.
        liver_hu: What most of the liver has.
        mm: (3,) size of a voxel (k, j, i).

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
        self.mm = np.array([k, j, i])
        self._box = self._round(liver != 0)
        inside = liver[self._box] != 0
        clipped = np.clip(volume.array[self._box], _LOWEST, _HIGHEST).astype(np.float32)
        self.liver = self._filled(inside)
        self.region = self._filled(self._closed(inside))
        self.smoothed = self._smooth(clipped, SMOOTHED_MM)
        self.sharper = self._smooth(clipped, EDGE_SMOOTHED_MM)
        self.liver_hu = float(np.median(self.smoothed[inside]))

    def check(self, ijk: Ijk, inside: bool) -> None:
        """Refuses a click that cannot be used.

        Raises:
            InputError: It is outside the CT; or, inside a lesion, outside the liver or on nothing that stands out.
        """
        check_voxel(ijk, self._shape)
        if not inside:
            return
        text = ",".join(map(str, ijk))
        place = self.place_of(ijk)
        size = self.region.shape
        if not all(0 <= at < n for at, n in zip(place, size, strict=True)) or not self.region[place]:
            raise InputError(f"The click {text} lies outside the liver.")
        level = self.level_at(place)
        if abs(level - self.liver_hu) < LEAST_HU:
            raise InputError(
                f"The click {text} shows nothing that stands out: {level:.0f} HU, and the liver has "
                f"{self.liver_hu:.0f} HU."
            )

    def place_of(self, ijk: Ijk) -> Place:
        """A voxel's (k, j, i) in the box; below 0 or past the end where it is outside."""
        k, j, i = (int(at) - part.start for at, part in zip(ijk[::-1], self._box, strict=True))
        return k, j, i

    def on_the_ct(self, mask: np.ndarray) -> np.ndarray:
        """A mask in the box as one on the CT's grid."""
        whole = np.zeros(self._shape, dtype=bool)
        whole[self._box] = mask
        return whole

    def level_at(self, place: Place) -> float:
        """HU of what lies round a place: the median of its neighbours, without slices that lie far apart."""
        reach = [min(1, n) for n in self.voxels(SMOOTHED_MM)]
        near = tuple(slice(max(0, at - n), at + n + 1) for at, n in zip(place, reach, strict=True))
        return float(np.median(self.smoothed[near]))

    def voxels(self, length_mm: float) -> list[int]:
        """A length in voxels (k, j, i), at least one within a slice."""
        reach = [round(length_mm / mm) for mm in self.mm]
        for axis in self._order.axes[1:]:
            reach[2 - axis] = max(1, reach[2 - axis])
        return reach

    def ball(self, radius_mm: float) -> np.ndarray:
        """A structuring element (k, j, i): a ball, at least a cross in each slice."""
        reach = self.voxels(radius_mm)
        grid = np.indices([2 * n + 1 for n in reach])
        apart = np.stack([(place - n) / max(n, 1) for place, n in zip(grid, reach, strict=True)])
        return np.linalg.norm(apart, axis=0) <= 1.0

    def _smooth(self, image: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Smoothed by what lies in the liver alone, so that fat and lung do not darken its rim."""
        weights = ndimage.gaussian_filter(self.region.astype(np.float32), sigma_mm / self.mm)
        summed = ndimage.gaussian_filter(np.where(self.region, image, 0), sigma_mm / self.mm)
        return summed / np.maximum(weights, 1e-6)

    def _round(self, inside: np.ndarray) -> tuple[slice, slice, slice]:
        """The liver's box with a margin for what is closed."""
        found = []
        for axis, (size, mm) in enumerate(zip(inside.shape, self.mm, strict=True)):
            held = np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis})))
            margin = 1 + int(2 * CLOSED_MM / mm)
            found.append(slice(max(0, int(held[0]) - margin), min(size, int(held[-1]) + 1 + margin)))
        return found[0], found[1], found[2]

    def _closed(self, inside: np.ndarray) -> np.ndarray:
        """Notches and narrow gaps closed."""
        # By distances: a ball of many voxels as a structuring element takes minutes.
        margin = [1 + int(CLOSED_MM / mm) for mm in self.mm]
        padded = np.pad(inside, [(n, n) for n in margin])
        grown = ndimage.distance_transform_edt(~padded, sampling=self.mm) <= CLOSED_MM
        closed = padded | (ndimage.distance_transform_edt(grown, sampling=self.mm) > CLOSED_MM)
        return closed[tuple(slice(n, -n) for n in margin)]

    def _filled(self, mask: np.ndarray) -> np.ndarray:
        """The holes of each slice filled."""
        return self._order.back(np.stack([ndimage.binary_fill_holes(one) for one in self._order.forward(mask)]))
