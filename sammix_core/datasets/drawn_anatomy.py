"""What is found on a slice without labels, for drawing into it: lungs, bone, and how noisy it is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.masks.components import component_sizes, label_components, select_components

_AERATED_HU = -500.0  # lung, half of it air
_GAS_HU = -945.0  # an air space darker than this holds gas alone: stomach, bowel
_LEAST_LUNG_MM2 = 500.0
_BONE_HU = 220.0


def disc(radius_mm: float, pixel_mm: tuple[float, float]) -> np.ndarray:
    """(rows, cols) bool: a disc of a radius in millimetres, at least one pixel each way."""
    reach = [max(1, round(radius_mm / mm)) for mm in pixel_mm]
    rows, cols = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    return np.asarray((rows / reach[0]) ** 2 + (cols / reach[1]) ** 2 <= 1.01)


def lungs(hu: np.ndarray, body: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """Finds aerated lung.

    Args:
        hu: (rows, cols) HU.
        body: (rows, cols) bool, its holes filled.
        pixel_mm: (row, col) spacing.

    Returns:
        (rows, cols) bool; gas of stomach and bowel is left out as far as its density tells.
    """
    labels, count = label_components((hu < _AERATED_HU) & body)
    if count == 0:
        return np.zeros(hu.shape, dtype=bool)
    large = component_sizes(labels, count) * pixel_mm[0] * pixel_mm[1] >= _LEAST_LUNG_MM2
    for piece in np.flatnonzero(large):
        large[piece] = float(np.median(hu[labels == piece + 1])) > _GAS_HU
    return select_components(labels, large)


def bones(hu: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """(rows, cols) bool: dense bone and the marrow that it surrounds."""
    dense = ndimage.binary_closing(hu > _BONE_HU, disc(4.0, pixel_mm))
    return np.asarray(ndimage.binary_fill_holes(dense))


def smooth_field(
    shape: tuple[int, ...], period_mm: float, pixel_mm: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """(rows, cols) float32: a random field of mean 0 and sigma 1 that varies over some millimetres."""
    field = rng.normal(0, 1, shape).astype(np.float32)
    field = ndimage.gaussian_filter(field, [period_mm / mm for mm in pixel_mm], mode="wrap")
    return np.asarray((field - field.mean()) / max(1e-6, float(field.std())), dtype=np.float32)


def noise_like(hu: np.ndarray, body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise as strong as that of the slice's soft tissue, so that what is drawn is not smoother than all round it.

    Args:
        hu: (rows, cols) HU.
        body: (rows, cols) bool.
        rng: Random source.

    Returns:
        (rows, cols) float32 HU of mean 0.
    """
    soft = ndimage.binary_erosion(body & (hu > 0) & (hu < 200), iterations=2)
    if soft.sum() < 50:
        return np.zeros(hu.shape, dtype=np.float32)
    sigma = 1.4826 * float(np.median(np.abs((hu - ndimage.gaussian_filter(hu, 1.5))[soft])))
    noise = ndimage.gaussian_filter(rng.normal(0, 1, hu.shape).astype(np.float32), 0.6)
    rough = float((noise - ndimage.gaussian_filter(noise, 1.5)).std())
    return np.asarray(noise * min(sigma, 30.0) / max(1e-6, rough), dtype=np.float32)
