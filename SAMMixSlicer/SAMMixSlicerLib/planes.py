"""Slices of (k, j, i) arrays along any of the volume's axes."""

from __future__ import annotations

import numpy as np


def planeOf(array: np.ndarray, sliceAxis: str, index: int) -> np.ndarray:
    """A view of one slice.

    Args:
        array: (k, j, i).
        sliceAxis: "i", "j" or "k".
        index: Along that axis.

    Returns:
        (rows, cols) in the volume's two in-plane axes, as `sammix_core.boxes.Box` counts them.
    """
    at: list[slice | int] = [slice(None)] * 3
    at["kji".index(sliceAxis)] = index
    return array[tuple(at)]


def differentPlanes(first: np.ndarray, second: np.ndarray, sliceAxis: str) -> list[int]:
    """The slices on which two (k, j, i) arrays differ, sorted."""
    axis = "kji".index(sliceAxis)
    if axis == 0:
        return [k for k in range(len(first)) if not np.array_equal(first[k], second[k])]
    found = np.zeros(first.shape[axis], dtype=bool)
    for one, two in zip(first, second, strict=True):  # along k, so that no array as large as the volume is made
        found |= (one != two).any(axis=2 - axis)
    return np.flatnonzero(found).tolist()
