"""How much two masks overlap: Dice and IoU in numpy. Boxes: `sammix_core.boxes.parts`.

Losses and scores of training are torch's and MONAI's, and the metrics of a report are in `sammix_core.evaluation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """The counts behind a Dice, so that those of several slices can be added.

    Attributes:
        both: Pixels in both masks.
        total: Pixels in the first mask plus pixels in the second.

    Example:
        >>> (Overlap(both=1, total=3) + Overlap(both=1, total=2)).dice
        0.8
    """

    both: int = 0
    total: int = 0

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> Overlap:
        """Counts the pixels of two masks of the same shape; non-zero is inside."""
        first, second = first != 0, second != 0
        both = int(np.count_nonzero(first & second))
        return cls(both, int(np.count_nonzero(first)) + int(np.count_nonzero(second)))

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(self.both + other.both, self.total + other.total)

    @property
    def dice(self) -> float:
        """From 0 to 1; 1 where both masks are empty."""
        return 2 * self.both / self.total if self.total else 1.0


def mask_dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice of two masks of the same shape, from 0 to 1; 1 where both are empty.

    Example:
        >>> mask_dice(np.array([1, 1, 0]), np.array([0, 1, 0])) == 2 / 3
        True
    """
    return Overlap.of(first, second).dice


def mask_iou(*masks: np.ndarray, if_empty: float = 0.0) -> float:
    """Intersection over union of two or more masks of the same shape.

    Args:
        masks: Bool.
        if_empty: The result where all masks are empty.

    Returns:
        From 0 to 1.

    Example:
        >>> mask_iou(np.array([True, True, False]), np.array([False, True, False]))
        0.5
    """
    union = int(np.count_nonzero(np.logical_or.reduce(masks)))
    return int(np.count_nonzero(np.logical_and.reduce(masks))) / union if union else if_empty
