"""Coarse maps made as fine as the network's image."""

from __future__ import annotations

import numpy as np


def upsampled(maps: np.ndarray, size: int) -> np.ndarray:
    """Enlarges (..., h, w) maps to (..., size, size) linearly, cells' centres on cells' centres.

    In numpy and not in torch, whose threads cost more than the work.
    """
    cells = maps.shape[-1]
    grid = (np.arange(size) + 0.5) / (size // cells) - 0.5
    low = np.clip(np.floor(grid).astype(int), 0, cells - 1)
    high = np.minimum(low + 1, cells - 1)
    part = np.clip(grid - low, 0, 1).astype(np.float32)
    rows = maps[..., low, :] * (1 - part)[:, None] + maps[..., high, :] * part[:, None]
    return rows[..., low] * (1 - part) + rows[..., high] * part
