"""Density and noise of the organ in one place of a slice, and the disc that opens narrow rims off a part."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_LEAST_PIXELS = 50  # to estimate noise from
_TYPICAL_SD = 8.0


def mean_inside(hu: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """(size, size) Gaussian mean of the HU inside a mask.

    Args:
        hu: (size, size) float32.
        mask: (size, size) bool.
        sigma: Of the Gaussian, in pixels.
    """
    weights = mask.astype(np.float32)
    return np.asarray(
        ndimage.gaussian_filter(hu * weights, sigma) / np.maximum(ndimage.gaussian_filter(weights, sigma), 1e-3)
    )


def sd_inside(hu: np.ndarray, mask: np.ndarray) -> float:
    """The standard deviation of the HU inside a mask, or a typical one where the mask is too small to tell."""
    return float(hu[mask].std()) if np.count_nonzero(mask) > _LEAST_PIXELS else _TYPICAL_SD


def disc(radius: float) -> np.ndarray:
    """Bool disc of a radius in pixels."""
    reach = int(np.ceil(radius))
    rows, cols = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(rows**2 + cols**2 <= radius**2 + 1e-6)
