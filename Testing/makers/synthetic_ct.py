"""A small made-up CT: an elliptic body with fat, organs, a liver on the patient's right and a spine at the back."""

from __future__ import annotations

import numpy as np

AIR, FAT, TISSUE, LIVER, BONE = -1000, -100, 40, 110, 500


def synthetic_ct(shape: tuple[int, int, int] = (10, 36, 44), seed: int = 0) -> np.ndarray:
    """Returns int16 HU in canonical axial order (slice, row, col): no axis and no flip of it looks like another."""
    slices, rows, cols = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else [0.0] for n in shape), indexing="ij")
    hu = np.full(shape, AIR, dtype=np.float64)
    hu[(rows / 0.8) ** 2 + (cols / 0.9) ** 2 < 1] = FAT
    hu[(rows / 0.7) ** 2 + (cols / 0.8) ** 2 < 1] = TISSUE
    hu[((rows + 0.1) / 0.45) ** 2 + ((cols + 0.4) / 0.3) ** 2 + ((slices - 0.2) / 0.9) ** 2 < 1] = LIVER
    hu[((rows - 0.5) / 0.15) ** 2 + (cols / 0.15) ** 2 < 1] = BONE
    hu += np.random.default_rng(seed).normal(0, 8, shape)
    return np.rint(hu).astype(np.int16)


def synthetic_mr(shape: tuple[int, int, int] = (10, 36, 44), brightest: int = 1200) -> np.ndarray:
    """Returns uint16 like a T1 picture of the same body: dark air, bright fat, nothing below 0."""
    ct = synthetic_ct(shape).astype(np.float64)
    levels = ([-1100, -800, -200, -60, 0, 60, 120, 600], [0, 10, 40, 1000, 520, 560, 700, 150])
    values = np.interp(ct, *levels) * brightest / 1000
    noise = np.random.default_rng(1).rayleigh(0.04 * brightest, shape)
    return np.rint(values + noise).astype(np.uint16)


def ras_grid(pixel_mm: float, slice_mm: float) -> np.ndarray:
    """(4, 4) IJK to RAS of an axial CT, i to the left, j to the back; an origin of zeros would count as a lost one."""
    matrix = np.diag([-pixel_mm, -pixel_mm, slice_mm, 1.0])
    matrix[:3, 3] = (150.0, 120.0, -310.0)
    return matrix
