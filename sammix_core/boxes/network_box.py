"""The tight box of a mask."""

from __future__ import annotations

import numpy as np

# Edges (x_min, y_min, x_max, y_max) in pixels of the network image.
NetworkBox = tuple[float, float, float, float]


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Finds the smallest box that holds all of a mask.

    Args:
        mask: (rows, cols) bool.

    Returns:
        Half-open (col_min, row_min, col_max, row_max), or None for an empty mask.
    """
    if not mask.any():
        return None
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1
