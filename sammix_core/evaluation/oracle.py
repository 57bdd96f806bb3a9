"""Oracle boxes: the label's own tight boxes, to tell faults of the masks from faults of the boxes."""

from __future__ import annotations

import numpy as np

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.boxes.network_box import tight_box
from sammix_core.boxes.parts import number_parts
from sammix_core.boxes.track import BoxTrack
from sammix_core.masks.components import component_sizes, label_components
from sammix_core.volume.axial_order import SliceBox
from sammix_core.volume.volume import Volume

_LEAST_SHARE = 0.02  # of the slice's largest piece; smaller ones are specks, as for a computed mask


def oracle_boxes(volume: Volume, label: np.ndarray, by_part: bool = False) -> BoxTrack:
    """Tight boxes of a label, as a person's.

    Args:
        volume: The volume.
        label: (k, j, i) bool on its grid.
        by_part: Whether each connected part of a slice gets a box, numbered along z; otherwise one goes round all.
    """
    order, shape = volume.axial_order, volume.shape_kji
    slices = [_boxes_of(mask, by_part) for mask in order.forward(label)]
    track = BoxTrack.for_volume(volume)
    for index, (boxes, parts) in enumerate(zip(slices, number_parts(slices), strict=True)):
        slice_index = order.slice_index(index, shape)
        if boxes:
            edges = [order.box_to_volume(box, shape) for box in boxes]
            track.put(
                slice_index,
                [Box(slice_index, *e, BoxSource.EDITED, part=part) for e, part in zip(edges, parts, strict=True)],
            )
    return track


def _boxes_of(mask: np.ndarray, by_part: bool) -> list[SliceBox]:
    if not by_part:
        box = tight_box(mask)
        return [] if box is None else [box]
    labels, count = label_components(mask, corners=True)
    sizes = component_sizes(labels, count)
    boxes = [tight_box(labels == number + 1) for number in range(count) if sizes[number] >= _LEAST_SHARE * sizes.max()]
    return [box for box in boxes if box is not None]
