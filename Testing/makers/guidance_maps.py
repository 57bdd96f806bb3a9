"""Maps as a guidance would give them."""

from __future__ import annotations

import numpy as np

from sammix_core.guidance.base import GuidanceMaps


def a_map(x_min: int, x_max: int) -> GuidanceMaps:
    logits = np.full((1, 64, 64), -4.0, np.float32)
    logits[0, 20:40, x_min:x_max] = 4.0
    return GuidanceMaps(logits, np.array([0.99], np.float32))
