"""How well lesions were found: one by one, and not by voxels alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class LesionScores:
    """Scores of one case at one threshold.

    Attributes:
        least_iou: A found lesion is a true one from this overlap on.
        true: Lesions of the reference.
        hits: Of these, how many were found; each by one found lesion of its own.
        false_positives: Found lesions that are none.
        dice: Dice of each hit with what found it, by the number of the reference's lesion.
        found_by: The found lesion of each hit, likewise.
    """

    least_iou: float
    true: int
    hits: int
    false_positives: int
    dice: dict[int, float]
    found_by: dict[int, int]

    @property
    def sensitivity(self) -> float | None:
        """Share of the reference's lesions that was found; None where there are none."""
        return self.hits / self.true if self.true else None


def score_lesions(found: np.ndarray, reference: np.ndarray, least_iou: float) -> LesionScores:
    """Matches found lesions with those of a reference, so that the sum of overlaps is largest.

    Args:
        found: (k, j, i) what `lesion_components` gave.
        reference: The same of the reference.
        least_iou: Above 0; pairs that overlap less are no match.

    Raises:
        ValueError: The grids differ, or the threshold is not above 0.
    """
    if found.shape != reference.shape or not 0 < least_iou <= 1:
        raise ValueError("lesions are scored on one grid, with a threshold above 0 and up to 1")
    rows, cols = int(reference.max(initial=0)), int(found.max(initial=0))
    pairs = np.bincount(
        reference.astype(np.int64).ravel() * (cols + 1) + found.ravel(), minlength=(rows + 1) * (cols + 1)
    ).reshape(rows + 1, cols + 1)
    both = pairs[1:, 1:]
    sizes, found_sizes = pairs.sum(1)[1:, None], pairs.sum(0)[None, 1:]
    iou = both / np.maximum(sizes + found_sizes - both, 1)
    iou[iou < least_iou] = 0
    matched = [(row, col) for row, col in zip(*linear_sum_assignment(-iou), strict=True) if iou[row, col] > 0]
    dice = {int(r) + 1: float(2 * both[r, c] / (sizes[r, 0] + found_sizes[0, c])) for r, c in matched}
    found_by = {int(row) + 1: int(col) + 1 for row, col in matched}
    true, present = int((sizes > 0).sum()), int((found_sizes > 0).sum())
    return LesionScores(least_iou, true, len(matched), present - len(matched), dice, found_by)
