"""Slices of (k, j, i) arrays along any of the volume's axes."""

from __future__ import annotations

from collections.abc import Iterable

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


def differentPlanes(first: Iterable[np.ndarray], second: np.ndarray, sliceAxis: str) -> list[int]:
    """The slices on which two (k, j, i) arrays differ, sorted.

    Args:
        first: An array, or its (j, i) planes one after the other, so that no second array as large need be made.
        second: (k, j, i).
        sliceAxis: "i", "j" or "k".
    """
    axis = "kji".index(sliceAxis)
    found = np.zeros(second.shape[axis], dtype=bool)
    for k, (one, two) in enumerate(zip(first, second, strict=True)):
        if not np.array_equal(one, two):
            found |= (np.arange(len(found)) == k) if axis == 0 else (one != two).any(axis=2 - axis)
    return np.flatnonzero(found).tolist()
