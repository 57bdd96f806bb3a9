"""A synthetic abdomen for benchmarks without a CT: an ellipse of fat with a brighter organ in its middle."""

from __future__ import annotations

import numpy as np

from sammix_core.volume.volume import Volume, grid_from_ras

_AIR, _FAT, _ORGAN, _NOISE = -1000, -80, 110, 12
_WIDTH_MM = 400.0


def synthetic_volume(shape_kji: tuple[int, int, int], slice_mm: float) -> Volume:
    """Makes a volume of HU.

    Args:
        shape_kji: (slices, rows, cols).
        slice_mm: Distance of slices in mm.
    """
    count, rows, cols = shape_kji
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    body = (x / 0.85) ** 2 + (y / 0.6) ** 2 < 1
    plane = np.where(body, _FAT, _AIR).astype(np.int16)
    random = np.random.default_rng(0)
    noise = random.integers(-_NOISE, _NOISE + 1, (rows, cols), dtype=np.int16)
    array = np.empty(shape_kji, np.int16)
    for index in range(count):
        height = (index + 0.5) / count
        radius = 0.45 * np.sqrt(max(0.0, 1 - ((height - 0.5) / 0.25) ** 2))
        organ = ((x + 0.3) ** 2 + (y / 0.9) ** 2 < radius**2) & body
        array[index] = np.where(organ, _ORGAN, plane) + noise
    pixel = _WIDTH_MM / max(rows, cols)
    return Volume(array, *grid_from_ras(np.diag([-pixel, -pixel, slice_mm, 1.0])))
