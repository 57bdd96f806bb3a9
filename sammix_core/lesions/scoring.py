"""Scores of segmented lesions against a reference: lesion by lesion, and not by voxels alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class LesionScores:
    """Scores of one case at one threshold.

    Attributes:
        min_iou: Overlap from which on a predicted lesion matches one of the reference.
        true: Lesions of the reference.
        hits: Lesions of the reference that a predicted lesion matches; each predicted lesion matches at most one.
        false_positives: Predicted lesions without a match.
        dice: Dice of each hit with its match, by the number of the reference's lesion.
        match: Number of the predicted lesion of each hit, likewise.
    """

    min_iou: float
    true: int
    hits: int
    false_positives: int
    dice: dict[int, float]
    match: dict[int, int]

    @property
    def sensitivity(self) -> float | None:
        """Share of the reference's lesions that were hit; None where there are none."""
        return self.hits / self.true if self.true else None


def score_lesions(prediction: np.ndarray, reference: np.ndarray, min_iou: float) -> LesionScores:
    """Matches predicted lesions with those of a reference so that the sum of overlaps is largest.

    Args:
        prediction: (k, j, i), as `lesion_components` returns it.
        reference: The same of the reference.
        min_iou: Above 0; pairs with less overlap do not match.

    Raises:
        ValueError: The grids differ, or the threshold is not above 0.
    """
    if prediction.shape != reference.shape or not 0 < min_iou <= 1:
        raise ValueError("lesions are scored on one grid, with a threshold above 0 and up to 1")
    rows, cols = int(reference.max(initial=0)), int(prediction.max(initial=0))
    pairs = np.bincount(
        reference.astype(np.int64).ravel() * (cols + 1) + prediction.ravel(), minlength=(rows + 1) * (cols + 1)
    ).reshape(rows + 1, cols + 1)
    both = pairs[1:, 1:]
    sizes, predicted_sizes = pairs.sum(1)[1:, None], pairs.sum(0)[None, 1:]
    iou = both / np.maximum(sizes + predicted_sizes - both, 1)
    iou[iou < min_iou] = 0
    matched = [(row, col) for row, col in zip(*linear_sum_assignment(-iou), strict=True) if iou[row, col] > 0]
    dice = {int(r) + 1: float(2 * both[r, c] / (sizes[r, 0] + predicted_sizes[0, c])) for r, c in matched}
    match = {int(row) + 1: int(col) + 1 for row, col in matched}
    true, present = int((sizes > 0).sum()), int((predicted_sizes > 0).sum())
    return LesionScores(min_iou, true, len(matched), present - len(matched), dice, match)
