"""The liver's density: a CT smoothed a little within the liver, and the HU that most of the liver has."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.errors import InputError
from sammix_core.refinement.protocol import Ijk, check_voxel
from sammix_core.volume.volume import Volume

BoxVoxel = tuple[int, int, int]  # (k, j, i) in the box of a `LiverDensity`

SMOOTHED_MM = 1.3  # sigma, below the radius of the smallest lesion that is measured
EDGE_SMOOTHED_MM = 0.9  # for edges: more smoothing would shrink small lesions
CLOSED_MM = 5.0  # depth of notches in the liver's mask that may be lesions it leaves out
MIN_CONTRAST_HU = 8.0  # to the liver; noise of a smoothed CT seldom reaches it
_DEFAULT_MM = 1.85  # size of a voxel where the spacing is unknown
_LOWEST, _HIGHEST = -160.0, 240.0


class LiverDensity:
    """A CT smoothed a little, with its liver; computed once for any number of lesions.

    Only a box round the liver is kept; all arrays below are (k, j, i) in that box.

    Args:
        volume: The CT.
        liver: (k, j, i) on the CT's grid, non-zero inside.

    Attributes:
        region: bool, the liver with its notches closed and the holes of its slices filled, where lesions may lie.
        liver: bool, the mask with the holes of its slices filled, but its notches open.
        smoothed: float32 HU.
        sharper: float32 HU, smoothed less.
        liver_hu: Median HU of the liver.
        mm: (3,) size of a voxel (k, j, i).

    Raises:
        InputError: The mask is empty or on another grid.
    """

    def __init__(self, volume: Volume, liver: np.ndarray) -> None:
        if liver.shape != volume.array.shape:
            raise InputError("The liver's mask and the CT have different grids.")
        if not liver.any():
            raise InputError("The liver's mask is empty, so no lesion can lie in it.")
        self._shape = volume.shape_kji
        self._order = volume.axial_order
        k, j, i = volume.spacing[::-1] if volume.spacing_known else (_DEFAULT_MM,) * 3
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
            InputError: It is outside the CT; or, inside a lesion, outside the liver or as dense as the liver.
        """
        check_voxel(ijk, self._shape)
        if not inside:
            return
        text = ",".join(map(str, ijk))
        voxel = self.box_voxel(ijk)
        size = self.region.shape
        if not all(0 <= at < n for at, n in zip(voxel, size, strict=True)) or not self.region[voxel]:
            raise InputError(f"The click {text} lies outside the liver.")
        hu = self.hu_at(voxel)
        if abs(hu - self.liver_hu) < MIN_CONTRAST_HU:
            raise InputError(
                f"The click {text} shows nothing that stands out: {hu:.0f} HU, and the liver has "
                f"{self.liver_hu:.0f} HU."
            )

    def box_voxel(self, ijk: Ijk) -> BoxVoxel:
        """A voxel (k, j, i) of the box; below 0 or past the end where the CT's voxel lies outside it."""
        k, j, i = (int(at) - part.start for at, part in zip(ijk[::-1], self._box, strict=True))
        return k, j, i

    def on_the_ct(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the box on the CT's grid."""
        whole = np.zeros(self._shape, dtype=bool)
        whole[self._box] = mask
        return whole

    def hu_at(self, voxel: BoxVoxel) -> float:
        """HU round a voxel: the median of its neighbourhood, which leaves out slices that are far apart."""
        reach = [min(1, n) for n in self.voxels(SMOOTHED_MM)]
        near = tuple(slice(max(0, at - n), at + n + 1) for at, n in zip(voxel, reach, strict=True))
        return float(np.median(self.smoothed[near]))

    def voxels(self, length_mm: float) -> list[int]:
        """A length in voxels along (k, j, i), at least one within a slice."""
        reach = [round(length_mm / mm) for mm in self.mm]
        for axis in self._order.axes[1:]:
            reach[2 - axis] = max(1, reach[2 - axis])
        return reach

    def ball(self, radius_mm: float) -> np.ndarray:
        """A structuring element (k, j, i): a ball, at least a cross in each slice."""
        reach = self.voxels(radius_mm)
        grid = np.indices([2 * n + 1 for n in reach])
        offsets = np.stack([(index - n) / max(n, 1) for index, n in zip(grid, reach, strict=True)])
        return np.linalg.norm(offsets, axis=0) <= 1.0

    def _smooth(self, image: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Smooths within the liver alone, so that fat and lung do not darken its rim."""
        weights = ndimage.gaussian_filter(self.region.astype(np.float32), sigma_mm / self.mm)
        summed = ndimage.gaussian_filter(np.where(self.region, image, 0), sigma_mm / self.mm)
        return summed / np.maximum(weights, 1e-6)

    def _round(self, inside: np.ndarray) -> tuple[slice, slice, slice]:
        """The liver's box, with a margin for closing notches."""
        box = []
        for axis, (size, mm) in enumerate(zip(inside.shape, self.mm, strict=True)):
            filled = np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis})))
            margin = 1 + int(2 * CLOSED_MM / mm)
            box.append(slice(max(0, int(filled[0]) - margin), min(size, int(filled[-1]) + 1 + margin)))
        return box[0], box[1], box[2]

    def _closed(self, inside: np.ndarray) -> np.ndarray:
        """Closes notches and narrow gaps."""
        # By distances: with a ball of many voxels as structuring element it takes minutes.
        margin = [1 + int(CLOSED_MM / mm) for mm in self.mm]
        padded = np.pad(inside, [(n, n) for n in margin])
        grown = ndimage.distance_transform_edt(~padded, sampling=self.mm) <= CLOSED_MM
        closed = padded | (ndimage.distance_transform_edt(grown, sampling=self.mm) > CLOSED_MM)
        return closed[tuple(slice(n, -n) for n in margin)]

    def _filled(self, mask: np.ndarray) -> np.ndarray:
        """Fills the holes of each slice."""
        return self._order.back(np.stack([ndimage.binary_fill_holes(plane) for plane in self._order.forward(mask)]))
