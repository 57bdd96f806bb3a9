"""What the guidance has found in a volume, kept so that another session can go on with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sammix_core.axial_order import AxialOrder
from sammix_core.guidance.boxes_from_cam import GuidedBoxes


@dataclass(frozen=True)
class SavedGuidance:
    """Maps and boxes of a whole volume.

    Attributes:
        order: How the volume was cut into axial slices.
        guided: What was found, in that order.
        notes: Plain sentences on the order.
    """

    order: AxialOrder
    guided: GuidedBoxes
    notes: tuple[str, ...]

    def probabilities(self, shape_kji: tuple[int, int, int]) -> dict[int, float]:
        """Each slice's probability in [0, 1], smoothed as it was used, by index along the user's slice axis."""
        return {
            self.order.slice_index(index, shape_kji): float(np.clip(value, 0, 1))
            for index, value in enumerate(self.guided.probabilities)
        }
