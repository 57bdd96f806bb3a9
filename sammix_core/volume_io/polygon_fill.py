"""Polygons as masks, by the even-odd rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# An edge that passes this near to a pixel's centre passes through it: numbers of two ways of computing it differ so.
_ON_CENTRE = 1e-6


def fill_even_odd(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Fills closed polygons: a pixel is inside where a ray from its centre crosses an odd number of edges.

    So a polygon within another one is a hole, one within that hole is inside again, and the two edges of a keyhole,
    which join a hole to the outline, cancel each other. A centre on an edge is inside on the left and upper edges only,
    so that polygons side by side share no pixel.

    Args:
        polygons: (n, 2) each: column and row of the corners, in pixels; whole numbers are centres of pixels.
        shape: (rows, columns).

    Returns:
        (rows, columns) bool.

    Example:
        >>> outer = np.array([(-0.5, -0.5), (4.5, -0.5), (4.5, 2.5), (-0.5, 2.5)])
        >>> hole = np.array([(0.5, 0.5), (1.5, 0.5), (1.5, 1.5), (0.5, 1.5)])
        >>> fill_even_odd([outer, hole], (3, 5)).astype(int).tolist()
        [[1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    """
    rows, columns = shape
    crossings = np.zeros(rows * (columns + 1), dtype=np.int64)
    for polygon in polygons:
        upper, lower = polygon, np.roll(polygon, -1, axis=0)
        # From the upper corner to the lower one, so that an edge that is walked both ways gives the same numbers.
        swapped = (upper[:, 1] > lower[:, 1])[:, None]
        upper, lower = np.where(swapped, lower, upper), np.where(swapped, upper, lower)
        first = np.clip(np.ceil(upper[:, 1] - _ON_CENTRE), 0, rows).astype(int)
        last = np.clip(np.ceil(lower[:, 1] - _ON_CENTRE), 0, rows).astype(int)
        counts = np.maximum(last - first, 0)
        edge = np.repeat(np.arange(len(polygon)), counts)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        share = (row - upper[edge, 1]) / (lower[edge, 1] - upper[edge, 1])
        x = upper[edge, 0] + share * (lower[edge, 0] - upper[edge, 0])
        column = np.clip(np.ceil(x - _ON_CENTRE), 0, columns).astype(int)
        crossings += np.bincount(row * (columns + 1) + column, minlength=len(crossings))
    odd = crossings.reshape(rows, columns + 1) % 2 == 1
    return np.logical_xor.accumulate(odd, axis=1)[:, :columns]
