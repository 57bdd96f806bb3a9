"""Slices of (k, j, i) arrays along any of the volume's axes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def sliceOf(array: np.ndarray, sliceAxis: str, index: int) -> np.ndarray:
    """Returns a view of one slice.

    Args:
        array: (k, j, i).
        sliceAxis: "i", "j" or "k".
        index: Along that axis.

    Returns:
        (rows, cols) in the volume's two in-plane axes, as in `sammix_core.boxes.Box`.
    """
    selection: list[slice | int] = [slice(None)] * 3
    selection["kji".index(sliceAxis)] = index
    return array[tuple(selection)]


def differingSlices(first: Iterable[np.ndarray], second: np.ndarray, sliceAxis: str) -> list[int]:
    """Returns the slices in which two (k, j, i) arrays differ, sorted.

    Args:
        first: An array, or its (j, i) planes one after the other, so that no second array of that size is needed.
        second: (k, j, i).
        sliceAxis: "i", "j" or "k".
    """
    axis = "kji".index(sliceAxis)
    differs = np.zeros(second.shape[axis], dtype=bool)
    for k, (firstPlane, secondPlane) in enumerate(zip(first, second, strict=True)):
        if not np.array_equal(firstPlane, secondPlane):
            differs |= (np.arange(len(differs)) == k) if axis == 0 else (firstPlane != secondPlane).any(axis=2 - axis)
    return np.flatnonzero(differs).tolist()
