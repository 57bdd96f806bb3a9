"""Takes out of masks what cannot be the organ by its density: the body's fat, and separate pieces as dark as fluid.

Where a box holds two lobes, the decoder, which sees pixels of some 1.5 mm, sometimes fills what lies between them: the
fat of a wide fissure, or the gallbladder. Fat that is connected with the body's is not part of an organ without fat of
its own, whether the connection is on this slice or on another one. Measured in docs/decisions/density-cleaning.md.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from scipy import ndimage

from sammix_core.masks.components import component_sizes, label_components, select_components, window_around
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.sam.decoding import MaskSettings

_FAT_HU = -20.0  # fat is below
_ORGAN_ABOVE_FAT_HU = 60.0  # a mask with a lower median than this above fat may be of a fatty liver: it stays
_LARGE_FAT_ML = 20.0  # fat inside the organ, as in a tumour, is less
_SMOOTH_MM = 1.0  # sigma, in a slice
_COARSE_MM = 1.5  # about the pixel size at which the volume's fat is found
_MARGIN_MM = 3.0
_HU_RANGE = (-200.0, 300.0)  # clipped to, so that air and metal do not spread when smoothed
_FLUID_HU = 40.0  # fluid is below
_ORGAN_ABOVE_FLUID_HU = 35.0  # and at least so much below the largest piece
_NECK_MM = 3.5  # pieces joined by a neck of less than twice this are apart
_LEAST_FLUID_MM2 = 100.0


def cleaner_for(axial: AxialSlices, masks: MaskSettings) -> DensityCleaner | None:
    """The cleaner of a volume's masks; None for a model whose masks stay as they are."""
    return DensityCleaner(axial) if masks.clean_density else None


class DensityCleaner:
    """Cleans the masks of one volume's slices; safe to call from several threads.

    The body's fat is found in the whole volume when a mask first has fat in it, which takes some seconds.

    Args:
        axial: The volume's slices.
    """

    def __init__(self, axial: AxialSlices) -> None:
        self._axial = axial
        self._body_fat: np.ndarray | None = None
        self._lock = threading.Lock()

    def without_fat(self, index: int, mask: np.ndarray) -> np.ndarray:
        """A slice's mask without the body's fat.

        Args:
            index: The canonical slice.
            mask: (rows, cols) bool, canonical.

        Returns:
            (rows, cols) bool; the same array if there is nothing to take out.
        """
        pixel_mm, hu = self._axial.slice_pixel_mm, self._axial.hu[index]
        if not mask.any() or np.median(hu[mask]) < _FAT_HU + _ORGAN_ABOVE_FAT_HU:
            return mask
        window = _around(mask, _MARGIN_MM + 4 * _SMOOTH_MM, pixel_mm)
        fat = _smoothed(hu[window], pixel_mm) < _FAT_HU
        if not (fat & mask[window]).any():
            return mask
        rows, cols = (np.arange(side.start, side.stop) // step for side, step in zip(window, self._steps, strict=True))
        body = ndimage.binary_dilation(self._fat()[index])[np.ix_(rows, cols)]
        cleaned = mask.copy()
        cleaned[window] &= ~(fat & body)
        return cleaned

    def without_fluid(self, index: int, mask: np.ndarray) -> np.ndarray:
        """A slice's mask without pieces that are apart from its largest one and, compared with it, as dark as fluid.

        Arguments and result are those of `without_fat`.
        """
        pixel_mm, hu = self._axial.slice_pixel_mm, self._axial.hu[index]
        if not mask.any():
            return mask
        window = _around(mask, _MARGIN_MM, pixel_mm)
        inside, hu = mask[window], hu[window]
        thick = ndimage.distance_transform_edt(inside, pixel_mm) > _NECK_MM
        labels, count = label_components(thick)
        if count < 2:
            return mask
        sizes = component_sizes(labels, count)
        densities = ndimage.median(hu, labels, np.arange(1, count + 1))
        organ_hu = densities[sizes.argmax()]
        large = sizes * pixel_mm[0] * pixel_mm[1] >= _LEAST_FLUID_MM2
        fluid = large & (densities < min(_FLUID_HU, organ_hu - _ORGAN_ABOVE_FLUID_HU))
        if not fluid.any():
            return mask
        # Rims that are too narrow for a piece of their own belong to the nearest one.
        _, nearest = ndimage.distance_transform_edt(labels == 0, pixel_mm, return_indices=True)
        cleaned = mask.copy()
        cleaned[window] &= ~select_components(labels[tuple(nearest)], fluid)
        return cleaned

    @property
    def _steps(self) -> tuple[int, int]:
        """How many rows and columns of a slice a coarse pixel has."""
        row_mm, col_mm = self._axial.slice_pixel_mm
        return max(1, round(_COARSE_MM / row_mm)), max(1, round(_COARSE_MM / col_mm))

    def _fat(self) -> np.ndarray:
        """(slices, coarse rows, coarse cols) bool: large connected fat; found once."""
        with self._lock:
            if self._body_fat is None:
                self._body_fat = self._find_fat()
            return self._body_fat

    def _find_fat(self) -> np.ndarray:
        axial, steps = self._axial, self._steps
        row_mm, col_mm = axial.slice_pixel_mm
        coarse_mm = (row_mm * steps[0], col_mm * steps[1])
        dark = np.stack([_smoothed(_block_means(plane, steps), coarse_mm) < _FAT_HU for plane in axial.hu])
        labels, count = label_components(dark)
        voxel_ml = axial.slice_mm * coarse_mm[0] * coarse_mm[1] / 1000
        return select_components(labels, component_sizes(labels, count) * voxel_ml >= _LARGE_FAT_ML)


def _around(mask: np.ndarray, margin_mm: float, pixel_mm: tuple[float, float]) -> tuple[slice, slice]:
    """The window of a mask with at least one pixel, with a margin."""
    return window_around(mask, (math.ceil(margin_mm / pixel_mm[0]), math.ceil(margin_mm / pixel_mm[1])))


def _smoothed(hu: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """(rows, cols) float32 HU, with less noise."""
    return ndimage.gaussian_filter(hu.astype(np.float32).clip(*_HU_RANGE), [_SMOOTH_MM / size for size in pixel_mm])


def _block_means(plane: np.ndarray, steps: tuple[int, int]) -> np.ndarray:
    """(coarse rows, coarse cols) float32 HU: means of blocks; incomplete last ones are filled with their edge."""
    padding = [(0, -size % step) for size, step in zip(plane.shape, steps, strict=True)]
    filled = np.pad(plane.astype(np.float32).clip(*_HU_RANGE), padding, mode="edge")
    rows, cols = filled.shape[0] // steps[0], filled.shape[1] // steps[1]
    return filled.reshape(rows, steps[0], cols, steps[1]).mean(axis=(1, 3))
