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
        ends: Two places (row, col) in pixels of that slice; whole numbers are centres of pixels.
    """

    mm: float
    slice: int
    ends: tuple[tuple[float, float], tuple[float, float]]


def longest_diameter(axial: np.ndarray, spacing: tuple[float, float]) -> Diameter | None:
    """The longest line within one slice between two places on the outline of a mask, over all slices.

    The outline is taken where it crosses between a pixel's centre and its neighbour's, half a pixel out, so that a
    single pixel is as long as a pixel. A line may leave the mask on its way, as a ruler's on a screen does.

    Args:
        axial: (slice, row, col) bool, canonical axial slices.
        spacing: (row, col) in mm.

    Returns:
        The longest; None for an empty mask.
    """
    best: Diameter | None = None
    for index in np.flatnonzero(axial.any((1, 2))):
        places = _outline(np.argwhere(axial[index]))
        distances = cdist(places * spacing, places * spacing)
        first, last = np.unravel_index(int(distances.argmax()), distances.shape)
        mm = float(distances[first, last])
        if best is None or mm > best.mm:
            (row, col), (other_row, other_col) = places[first].tolist(), places[last].tolist()
            best = Diameter(mm, int(index), ((row, col), (other_row, other_col)))
    return best


def _outline(pixels: np.ndarray) -> np.ndarray:
    """(n, 2) pixels to the corners of the convex hull of their edges' middles; the longest line ends on two of them."""
    halves = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])
    places = np.unique((pixels[:, None] + halves).reshape(-1, 2), axis=0)
    try:
        return places[ConvexHull(places).vertices]
    except QhullError:  # places that span no area cannot be: a pixel has four
        return places
