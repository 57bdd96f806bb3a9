"""The boxes that a person would set: the label's own, exact or as a hand draws them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sammix_core.boxes import BoxTrack
from sammix_core.evaluation.oracle import oracle_boxes

__all__ = ["MOVED", "moved_boxes", "oracle_boxes"]

MOVED = 3 / 256  # an edge's most, as a share of the slice's longer side


def moved_boxes(track: BoxTrack, seed: int = 0) -> BoxTrack:
    """Boxes whose edges are each moved by up to `MOVED`, in or out; the same for the same seed."""
    rng = np.random.default_rng(seed)
    n_first, n_second = (n for axis, n in zip("ijk", track.shape, strict=True) if axis != track.slice_axis)
    most = max(1, round(MOVED * max(n_first, n_second)))
    moved = []
    for box in track.every_box:
        i_min, j_min, i_max, j_max = (np.array(box.edges) + rng.integers(-most, most + 1, 4)).tolist()
        i_min, j_min = min(max(0, i_min), n_first - 1), min(max(0, j_min), n_second - 1)
        i_max, j_max = min(n_first, max(i_max, i_min + 1)), min(n_second, max(j_max, j_min + 1))
        moved.append(replace(box, i_min=i_min, j_min=j_min, i_max=i_max, j_max=j_max))
    return BoxTrack(track.shape, track.slice_axis, moved)
