"""The longest axial diameter of a lesion, as RECIST 1.1 measures it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist


@dataclass(frozen=True)
class Diameter:
    """A line across a lesion on one slice.

    Attributes:
        mm: Its length.
        slice: Canonical axial slice.
        ends: Two points (row, col) in pixels of that slice; whole numbers are centres of pixels.
    """

    mm: float
    slice: int
    ends: tuple[tuple[float, float], tuple[float, float]]


def longest_diameter(axial: np.ndarray, spacing: tuple[float, float]) -> Diameter | None:
    """The longest line within one slice between two points on the outline of a mask, over all slices.

    The outline lies half a pixel outside the centres of the outermost pixels, so that a single pixel is as long as a
    pixel. A line may leave the mask on its way, like a ruler on a screen.

    Args:
        axial: (slice, row, col) bool, canonical axial slices.
        spacing: (row, col) in mm.

    Returns:
        The longest; None for an empty mask.
    """
    best: Diameter | None = None
    for index in np.flatnonzero(axial.any((1, 2))):
        points = _outline(np.argwhere(axial[index]))
        distances = cdist(points * spacing, points * spacing)
        first, last = np.unravel_index(int(distances.argmax()), distances.shape)
        mm = float(distances[first, last])
        if best is None or mm > best.mm:
            (row, col), (other_row, other_col) = points[first].tolist(), points[last].tolist()
            best = Diameter(mm, int(index), ((row, col), (other_row, other_col)))
    return best


def _outline(pixels: np.ndarray) -> np.ndarray:
    """Corners of the convex hull round (n, 2) pixels' edge midpoints; the longest line ends on two of them."""
    halves = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])
    points = np.unique((pixels[:, None] + halves).reshape(-1, 2), axis=0)
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # cannot happen: the four points of one pixel span an area
        return points
