"""Scores of a mask against a reference: Dice, HD95, surface Dice and volumes, by MONAI's implementations."""

from __future__ import annotations

from sammix_core.evaluation.evaluate import evaluate_files
from sammix_core.evaluation.labelmap import Labelmap, read_labelmap
from sammix_core.evaluation.metrics import SURFACE_TOLERANCE_MM, Scores, score_masks

__all__ = ["SURFACE_TOLERANCE_MM", "Labelmap", "Scores", "evaluate_files", "read_labelmap", "score_masks"]
