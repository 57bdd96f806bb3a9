"""A block of liver with balls of another density in it, for tests of lesions."""

from __future__ import annotations

import numpy as np

from sammix_core.volume.volume import Volume

SHAPE = (24, 40, 44)
LIVER, LESION = 115.0, 60.0
MIDDLE = (12, 20, 16)  # k, j, i
OTHER = (12, 20, 32)


def ball(middle: tuple[int, int, int], radius: float) -> np.ndarray:
    offsets = np.indices(SHAPE) - np.array(middle)[:, None, None, None]
    return (offsets**2).sum(0) <= radius**2


def a_liver() -> np.ndarray:
    liver = np.zeros(SHAPE, dtype=bool)
    liver[3:21, 5:35, 4:41] = True
    return liver


def a_ct(lesions: np.ndarray, hu: float = LESION, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    array = np.random.default_rng(5).normal(0, 10, SHAPE) + np.where(lesions, hu, LIVER)
    array[~a_liver()] = -80
    return Volume(array.astype(np.float32), spacing, (0.0, 0.0, 0.0), np.eye(3))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def ijk(kji: tuple[int, int, int]) -> tuple[int, int, int]:
    return kji[2], kji[1], kji[0]
