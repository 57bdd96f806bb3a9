"""Scores of a mask against a reference: Dice, HD95, surface Dice and volumes, by MONAI's implementations."""

from __future__ import annotations

from sammix_core.evaluation.evaluate import evaluate_files
from sammix_core.evaluation.metrics import SURFACE_TOLERANCE_MM, Scores, score_masks
from sammix_core.volume_io.labelmap import Labelmap
from sammix_core.volume_io.labelmap_reading import read_labelmap

__all__ = ["SURFACE_TOLERANCE_MM", "Labelmap", "Scores", "evaluate_files", "read_labelmap", "score_masks"]
