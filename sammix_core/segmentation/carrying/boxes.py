"""The boxes round a carried mask, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.boxes.network_box import tight_box
from sammix_core.masks.components import label_components

if TYPE_CHECKING:
    from sammix_core.segmentation.slice_store import SliceStore

_MOSTLY = 0.5


def boxes_round(slices: SliceStore, slice_index: int, mask: np.ndarray) -> list[Box]:
    """Draws boxes tight round a mask.

    A component that lies mostly inside one of the slice's boxes belongs to it; others get boxes of their own, numbered
    as on the nearest slice with a box in this place.

    Args:
        slices: The boxes so far, of this slice and others; they stay as they are.
        slice_index: The user's slice.
        mask: (rows, cols) bool in the user's two in-plane axes.
    """
    parts: dict[int, np.ndarray] = {}
    track = slices.boxes.copy()
    before = track.on(slice_index)
    labels, count = label_components(mask)
    for component in (labels == number for number in range(1, count + 1)):
        inside = [np.count_nonzero(component[box.slices]) for box in before]
        if inside and max(inside) >= _MOSTLY * np.count_nonzero(component):
            part = before[int(np.argmax(inside))].part
        else:
            part = track.part_at(slice_index, tight_box(component) or (0, 0, 1, 1))
            track.set(_box(slice_index, component, part))
        parts[part] = parts.get(part, np.zeros_like(component)) | component
    return [_box(slice_index, of_part, part) for part, of_part in sorted(parts.items())]


def _box(slice_index: int, mask: np.ndarray, part: int) -> Box:
    edges = tight_box(mask)
    if edges is None:
        raise ValueError("an empty mask has no box")
    return Box(slice_index, *edges, BoxSource.CARRIED, part=part)
