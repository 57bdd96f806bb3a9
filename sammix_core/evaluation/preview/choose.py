"""Which slices a contact sheet shows."""

from __future__ import annotations

import numpy as np

# Slices beyond each end of the liver: enough to see that nothing was left out.
_SLICES_BEYOND = 2


def choose_slices(mask: np.ndarray, most: int = 20) -> list[int]:
    """Picks slices evenly over the liver's extent and a few beyond both ends; over the whole volume without liver.

    Args:
        mask: (slice, row, column), canonical, non-zero is liver.
        most: Slices at most, 1 or more.

    Returns:
        Canonical slice indices, ascending, without repetition.
    """
    count = mask.shape[0]
    with_liver = np.flatnonzero(mask.any(axis=(1, 2)))
    if with_liver.size == 0:
        return _evenly(0, count - 1, most)
    first, last = int(with_liver[0]), int(with_liver[-1])
    step = max((last - first) // max(most - 2 * _SLICES_BEYOND - 1, 1), 1)
    reach = [step * number for number in range(1, _SLICES_BEYOND + 1)]
    beyond = [index for distance in reach for index in (first - distance, last + distance) if 0 <= index < count]
    beyond = beyond[: most - 1]
    # Tiles that are free, because the liver reaches the end of the scan, go to the liver.
    return sorted([*_evenly(first, last, most - len(beyond)), *beyond])


def _evenly(first: int, last: int, most: int) -> list[int]:
    number = min(most, last - first + 1)
    return sorted({round(value) for value in np.linspace(first, last, number)})
