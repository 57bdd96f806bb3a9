"""Connected components of masks: labelled, measured and chosen.

The only place that calls `scipy.ndimage.label`. Pixels are connected by their edges (voxels by their faces), or, with
`corners`, by their corners as well.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def label_components(mask: np.ndarray, corners: bool = False) -> tuple[np.ndarray, int]:
    """Labels the connected components of a mask.

    Args:
        mask: Any number of axes; non-zero is inside.
        corners: Whether pixels that share no more than a corner are connected.

    Returns:
        Labels of the mask's shape, int32: 0 outside, 1 to n inside; and n.

    Example:
        >>> label_components(np.array([[1, 0], [0, 1]]))[1], label_components(np.array([[1, 0], [0, 1]]), True)[1]
        (2, 1)
    """
    structure = np.ones((3,) * mask.ndim, dtype=bool) if corners else None
    labels, count = ndimage.label(mask != 0, structure)
    return labels, int(count)


def component_sizes(labels: np.ndarray, count: int) -> np.ndarray:
    """Pixels of each component.

    Args:
        labels: As `label_components` gives them.
        count: How many components there are.

    Returns:
        (count,) int64; the first entry is that of label 1.
    """
    return np.bincount(labels.ravel(), minlength=count + 1)[1:]


def component_weights(labels: np.ndarray, count: int, weights: np.ndarray) -> np.ndarray:
    """Sums of weights over each component.

    Args:
        labels: As `label_components` gives them.
        count: How many components there are.
        weights: Of the shape of `labels`.

    Returns:
        (count,) float64; the first entry is that of label 1.
    """
    return np.bincount(labels.ravel(), weights=weights.ravel(), minlength=count + 1)[1:]


def component_boxes(labels: np.ndarray) -> list[tuple[slice, ...]]:
    """The bounding box of each component, as slices of each axis; the first is that of label 1."""
    return ndimage.find_objects(labels)


def select_components(labels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The mask of some components.

    Args:
        labels: As `label_components` gives them.
        keep: (count,) bool; the first entry is that of label 1.

    Returns:
        Bool, of the shape of `labels`.
    """
    return np.concatenate([[False], keep])[labels]


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest component of a mask, the first of equal ones; an empty mask stays empty.

    Example:
        >>> largest_component(np.array([[1, 0, 1], [0, 0, 1]])).astype(int).tolist()
        [[0, 0, 1], [0, 0, 1]]
    """
    labels, count = label_components(mask)
    if count == 0:
        return mask != 0
    return labels == 1 + component_sizes(labels, count).argmax()


def components_touching(mask: np.ndarray, seeds: np.ndarray, corners: bool = False) -> np.ndarray:
    """The components of a mask that share at least one pixel with the seeds.

    Args:
        mask: Non-zero is inside.
        seeds: Bool, of the same shape.
        corners: As of `label_components`.

    Returns:
        Bool, of the same shape.
    """
    labels, count = label_components(mask, corners)
    touched = np.zeros(count + 1, dtype=bool)
    touched[labels[seeds]] = True
    return select_components(labels, touched[1:])


def component_at(mask: np.ndarray, index: tuple[int, ...]) -> np.ndarray:
    """The component that holds one pixel; empty where the pixel is outside the mask.

    Args:
        mask: Non-zero is inside.
        index: Of the pixel, one number for each axis.

    Returns:
        Bool, of the same shape.
    """
    labels, _ = label_components(mask)
    return (labels == labels[index]) & (labels > 0)


def window_around(mask: np.ndarray, margins: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of what a mask holds, with a margin, inside its plane.

    Args:
        mask: (rows, cols) bool with at least one pixel.
        margins: In pixels, along rows and columns.

    Example:
        >>> window_around(np.eye(6, dtype=bool)[:, :4] & (np.arange(6) == 2)[:, None], (1, 9))
        (slice(1, 4, None), slice(0, 4, None))
    """
    sides = []
    for axis, margin in enumerate(margins):
        used = np.flatnonzero(mask.any(axis=1 - axis))
        sides.append(slice(max(0, int(used[0]) - margin), min(mask.shape[axis], int(used[-1]) + 1 + margin)))
    return sides[0], sides[1]
