"""Scores a labelmap file against a reference file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sammix_core.errors import InputError
from sammix_core.evaluation.metrics import Scores, score_masks
from sammix_core.volume_io.labelmap_reading import Labelmap, read_labelmap


def evaluate_files(prediction: str | Path, reference: str | Path, label: int | str | None = None) -> Scores:
    """Scores one labelmap file against another on the same grid.

    Without `label`, every non-zero label of the reference counts, so that a tumour inside a liver is liver, as in LiTS.
    The prediction is binary: its non-zero voxels count, unless it has several labels with `label` among them.

    Args:
        prediction: The labelmap to be scored.
        reference: The labelmap to score it against.
        label: The label of the reference to score, a number or the name of a segment; None for all.

    Returns:
        The scores, with notes on which labels were merged.

    Raises:
        InputError: A file cannot be used, the grids differ, or the reference has no such label.

    Example:
        >>> import tempfile
        >>> import SimpleITK as sitk
        >>> reference = np.zeros((6, 8, 8), np.uint8)
        >>> reference[1:5, 2:6, 2:6] = 1
        >>> prediction = np.roll(reference, 1, axis=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, mask in (("reference", reference), ("prediction", prediction)):
        ...         sitk.WriteImage(sitk.GetImageFromArray(mask), f"{folder}/{name}.nrrd")
        ...     scores = evaluate_files(f"{folder}/prediction.nrrd", f"{folder}/reference.nrrd")
        >>> scores.dice, scores.prediction_voxels
        (0.75, 64)
    """
    pred_map, ref_map = read_labelmap(prediction), read_labelmap(reference)
    if pred_map.array.size < ref_map.array.size:
        pred_map = pred_map.placed_on(ref_map)
    else:
        ref_map = ref_map.placed_on(pred_map)
    difference = pred_map.difference_from(ref_map)
    if difference is not None:
        raise InputError(f"The two labelmaps lie on different grids ({difference}); save both on one grid.")
    ref_mask, ref_notes = _reference_mask(ref_map, label)
    pred_mask, pred_notes = _prediction_mask(pred_map, label)
    spacing_known = pred_map.spacing_known and ref_map.spacing_known
    scores = score_masks(pred_mask, ref_mask, ref_map.spacing if spacing_known else None)
    return replace(scores, notes=(*ref_notes, *pred_notes, *scores.notes))


def _reference_mask(labelmap: Labelmap, label: int | str | None) -> tuple[np.ndarray, list[str]]:
    if label is not None and labelmap.labels():  # an empty reference takes any label
        return labelmap.mask_of(labelmap.label_of(label)), []
    return labelmap.array != 0, _merged("reference", labelmap, "; --label takes one")


def _prediction_mask(labelmap: Labelmap, label: int | str | None) -> tuple[np.ndarray, list[str]]:
    if label is not None and len(labelmap.labels()) > 1:
        try:
            return labelmap.mask_of(labelmap.label_of(label)), []
        except InputError:
            pass  # it may name its labels in another way
    return labelmap.array != 0, _merged("prediction", labelmap, "")


def _merged(role: str, labelmap: Labelmap, hint: str) -> list[str]:
    if len(labelmap.labels()) < 2:
        return []
    return [f"The {role} {labelmap.name} has labels {labelmap.listed()}, which were merged{hint}."]
