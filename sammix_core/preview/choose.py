"""What a contact sheet shows: which slices, and which part of them. All in canonical axial slices, rows, columns."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Soft tissue and skin, but neither air nor most clothes.
_BODY_HU = -300
# The body is found on a grid about this coarse: quick, and thin cables and the shell of the table fall through it.
_COARSE_MM = 4.0
_BODY_MARGIN_MM = 10.0
# A pixel is body when it is on this share of the shown slices: breathing moves the skin, arms come and go.
_BODY_SHARE = 0.2

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


def body_window(array: np.ndarray, spacing_mm: tuple[float, float]) -> tuple[int, int, int, int]:
    """The part of the slices that shows the body, so that the tiles are not mostly air.

    Args:
        array: (slice, row, column) in HU: the slices to be shown.
        spacing_mm: (row, column) in mm.

    Returns:
        Half-open (row_min, row_max, col_min, col_max); the whole slice where there is no body.
    """
    n_rows, n_cols = array.shape[1:]
    strides = [max(int(_COARSE_MM / mm), 1) for mm in spacing_mm]
    flat = (array[:, :: strides[0], :: strides[1]] > _BODY_HU).mean(axis=0) >= _BODY_SHARE
    pieces, number = ndimage.label(ndimage.binary_opening(flat))
    if number == 0:
        return 0, n_rows, 0, n_cols
    body = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
    edges = []
    for axis, (size, stride, mm) in enumerate(zip((n_rows, n_cols), strides, spacing_mm, strict=True)):
        hit = np.flatnonzero(body.any(axis=1 - axis)) * stride
        margin = int(np.ceil(_BODY_MARGIN_MM / mm))
        edges += [max(int(hit[0]) - margin, 0), min(int(hit[-1]) + stride + margin, size)]
    return edges[0], edges[1], edges[2], edges[3]


def _evenly(first: int, last: int, most: int) -> list[int]:
    number = min(most, last - first + 1)
    return sorted({round(value) for value in np.linspace(first, last, number)})
