"""Which boxes hold the same thing: by place on one slice, and by number along z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

SAME_PLACE = 0.5  # IoU from which two boxes of a slice are two drawings of one thing

Edges = Sequence[float] | np.ndarray
Number = TypeVar("Number", int, float)


def box_iou(first: Edges, second: Edges) -> float:
    """Intersection over union of two boxes.

    Args:
        first: Edges (x_min, y_min, x_max, y_max).
        second: Likewise.

    Returns:
        From 0 to 1.

    Example:
        >>> box_iou((0, 0, 2, 2), (1, 0, 3, 2)) == 1 / 3
        True
    """
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = sum((edges[2] - edges[0]) * (edges[3] - edges[1]) for edges in (first, second))
    return float(both / max(areas - both, 1e-6))


def enclosing_box(
    boxes: Sequence[tuple[Number, Number, Number, Number]],
) -> tuple[Number, Number, Number, Number] | None:
    """The smallest box that holds all of some boxes; None without any.

    Example:
        >>> enclosing_box([(4, 0, 6, 2), (1, 1, 5, 3)])
        (1, 0, 6, 3)
    """
    if not boxes:
        return None
    x_min, y_min, x_max, y_max = zip(*boxes, strict=True)
    return min(x_min), min(y_min), max(x_max), max(y_max)


def matching_boxes(first: Sequence[Edges], second: Sequence[Edges], least_iou: float = 0.0) -> list[tuple[int, int]]:
    """Pairs the boxes of two slices, or of two drawings of one slice, that overlap: the best pair first, each box once.

    Args:
        first: Edges of boxes.
        second: Likewise.
        least_iou: Pairs need this IoU; with 0, any overlap.

    Returns:
        (number in `first`, number in `second`) of each pair, sorted.

    Example:
        >>> matching_boxes([(0, 0, 9, 9), (20, 0, 25, 5)], [(21, 0, 25, 5), (1, 0, 9, 9), (40, 40, 42, 42)])
        [(0, 1), (1, 0)]
    """
    overlaps = sorted(
        ((-box_iou(one, other), i, j) for i, one in enumerate(first) for j, other in enumerate(second)),
    )
    pairs: dict[int, int] = {}
    for negative, i, j in overlaps:
        if negative < 0 and -negative >= least_iou and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return sorted(pairs.items())


def number_parts(slices: Sequence[Sequence[Edges]]) -> list[tuple[int, ...]]:
    """Gives the parts of a structure numbers that stay the same from slice to slice.

    A box gets the number of the box that it overlaps best on the slice before it, or, where that part had ended or was
    merged with another, on the last slice with it. So where a part splits, or two merge, the one that overlaps better,
    as a rule the larger, keeps the number. The largest part of all is number 0, and so is every box of a structure that
    has no more than one on any slice.

    Args:
        slices: Edges of the boxes of each slice, in the order along z; slices without a box are empty.

    Returns:
        The numbers of the boxes, slice by slice.

    Example:
        A part splits off, ends and comes back:

        >>> right, left = (0, 0, 8, 8), (10, 0, 14, 4)
        >>> number_parts([[(0, 0, 14, 8)], [left, right], [right], [right, left], []])
        [(0,), (1, 0), (0,), (0, 1), ()]
    """
    if all(len(boxes) < 2 for boxes in slices):
        return [(0,) * len(boxes) for boxes in slices]
    last_seen: dict[int, tuple[int, Edges]] = {}
    areas: list[float] = []
    numbers: list[list[int]] = []
    for index, boxes in enumerate(slices):
        candidates = sorted(
            (index - seen, -iou, number, place)
            for number, (seen, edges) in last_seen.items()
            for place, box in enumerate(boxes)
            if (iou := box_iou(edges, box)) > 0
        )
        found: dict[int, int] = {}
        for _, _, number, place in candidates:
            if place not in found and number not in found.values():
                found[place] = number
        for place in sorted(set(range(len(boxes))) - found.keys(), key=lambda place: -_area(boxes[place])):
            found[place] = len(areas)
            areas.append(0.0)
        for place, number in found.items():
            last_seen[number] = (index, boxes[place])
            areas[number] += _area(boxes[place])
        numbers.append([found[place] for place in range(len(boxes))])
    by_area = sorted(range(len(areas)), key=lambda number: -areas[number])
    rank = {number: place for place, number in enumerate(by_area)}
    return [tuple(rank[number] for number in of_slice) for of_slice in numbers]


def _area(box: Edges) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
