"""Colours of the contact sheet, distinct on grey anatomy and to readers with a colour vision deficiency."""

from __future__ import annotations

import numpy as np

from sammix_core.boxes import BoxSource

BACKGROUND = (15, 17, 21)
PANEL = (24, 27, 34)
RULE = (52, 58, 70)
TEXT = (236, 239, 244)
TEXT_DIM = (152, 161, 177)

MASK = (74, 222, 128)
BOX = {
    BoxSource.AUTO: (86, 190, 255),
    BoxSource.EDITED: (255, 110, 190),
    BoxSource.INTERPOLATED: (196, 150, 255),
    BoxSource.CARRIED: (240, 228, 120),
}
BOX_NAME = {
    BoxSource.AUTO: "automatic box",
    BoxSource.EDITED: "edited box",
    BoxSource.INTERPOLATED: "interpolated box",
    BoxSource.CARRIED: "carried box",
}
PROBABILITY = (251, 176, 64)

# Dark red to pale yellow, as hot metal; green and blue are left to mask and box.
_HEAT_STOPS = np.array([[90, 8, 40], [196, 40, 28], [250, 130, 20], [255, 214, 90], [255, 246, 190]], np.float32)


def heat(values: np.ndarray) -> np.ndarray:
    """Colours for values in [0, 1].

    Args:
        values: Any shape, float.

    Returns:
        The same shape with a last axis of 3, float32, 0 to 255.
    """
    stops = np.linspace(0.0, 1.0, len(_HEAT_STOPS))
    channels = [np.interp(values, stops, _HEAT_STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)
