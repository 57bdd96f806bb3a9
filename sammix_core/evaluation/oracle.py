"""Oracle boxes: the label's own tight boxes, to tell faults of the masks from faults of the boxes."""

from __future__ import annotations

import numpy as np

from sammix_core.boxes import Box, BoxSource, BoxTrack, tight_box
from sammix_core.volume.volume import Volume


def oracle_boxes(volume: Volume, label: np.ndarray) -> BoxTrack:
    """Tight boxes of a label, (k, j, i) bool on the volume's grid."""
    order, shape = volume.axial_order, volume.shape_kji
    track = BoxTrack.for_volume(volume)
    for index, mask in enumerate(order.forward(label)):
        tight = tight_box(mask)
        if tight is not None:
            track.set(Box(order.slice_index(index, shape), *order.box_to_volume(tight, shape), BoxSource.EDITED))
    return track
