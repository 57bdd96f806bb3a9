"""How far a map bears out a box that it did not make."""

from __future__ import annotations

import math

import numpy as np

from sammix_core.boxes import NetworkBox, tight_box
from sammix_core.preprocessing.upsampling import upsampled


def coverage(cam_logits: np.ndarray, box: NetworkBox, size: int) -> float:
    """The share of a box that the tight box of the map inside it fills.

    Args:
        cam_logits: (h, w) of the guidance; above 0 it says the structure, as a mask prompt does.
        box: (x_min, y_min, x_max, y_max), edges in network pixels.
        size: Side of the network image in pixels.

    Returns:
        From 0, the map shows nothing there, to 1.
    """
    x_min, y_min = (max(0, math.floor(edge)) for edge in box[:2])
    x_max, y_max = (min(size, math.ceil(edge)) for edge in box[2:])
    shown = upsampled(cam_logits[None].astype(np.float32), size)[0][y_min:y_max, x_min:x_max] > 0
    own = tight_box(shown) if shown.size else None
    return 0.0 if own is None else (own[2] - own[0]) * (own[3] - own[1]) / shown.size
