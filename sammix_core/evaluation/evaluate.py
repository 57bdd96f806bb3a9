"""Scores a labelmap file against a reference file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sammix_core.errors import InputError
from sammix_core.evaluation.metrics import Scores, score_masks
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap import LabelChoice, Labelmap, check_same_space, on_one_grid
from sammix_core.volume_io.labelmap_reading import is_rtstruct, read_contours_on, read_labelmap, read_labels_on_ct


def evaluate_files(
    prediction: str | Path, reference: str | Path, label: LabelChoice | None = None, ct: str | Path | None = None
) -> Scores:
    """Scores one segmentation file against another on the same grid: labelmaps, DICOM SEG or RTSTRUCT.

    Without `label`, every non-zero label of the reference counts, so that a tumour inside a liver is liver, as in LiTS.
    The prediction is binary: its non-zero voxels count, unless it has several labels with `label` among them.

    Args:
        prediction: The labelmap to be scored.
        reference: The labelmap to score it against.
        label: The label of the reference to score, or its segment's name; None for all.
        ct: The CT of both, where they do not say themselves how they lie to each other: two RTSTRUCT, or DICOM SEG on
            uneven or leaning slices.

    Returns:
        The scores, with notes on which labels were merged.

    Raises:
        InputError: A file cannot be used, the grids differ, DICOM files belong to different frames of reference or
            series, or the reference has no such label.

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
    pred_map, ref_map = _read_pair(Path(prediction), Path(reference), ct)
    difference = pred_map.difference_from(ref_map)
    if difference is not None:
        raise InputError(f"The two labelmaps lie on different grids ({difference}); save both on one grid.")
    ref_mask, ref_notes = _reference_mask(ref_map, label)
    pred_mask, pred_notes = _prediction_mask(pred_map, label)
    spacing_known = pred_map.spacing_known and ref_map.spacing_known
    scores = score_masks(pred_mask, ref_mask, ref_map.spacing if spacing_known else None)
    return replace(scores, notes=(*ref_notes, *pred_notes, *scores.notes))


def _read_pair(prediction: Path, reference: Path, ct: str | Path | None) -> tuple[Labelmap, Labelmap]:
    """Both segmentations, on one grid where they can be placed on one."""
    if ct is not None:
        volume = read_volume(ct)
        first, second = (read_labels_on_ct(path, volume, path.name) for path in (prediction, reference))
        return first, second
    if is_rtstruct(reference) and not is_rtstruct(prediction):
        pred_map = read_labelmap(prediction)
        return pred_map, read_contours_on(reference, pred_map)
    if is_rtstruct(prediction) and not is_rtstruct(reference):
        ref_map = read_labelmap(reference)
        return read_contours_on(prediction, ref_map), ref_map
    pred_map, ref_map = read_labelmap(prediction), read_labelmap(reference)
    check_same_space(pred_map, ref_map)
    return on_one_grid(pred_map, ref_map)


def _reference_mask(labelmap: Labelmap, label: LabelChoice | None) -> tuple[np.ndarray, list[str]]:
    labels = labelmap.labels()
    if label is None:
        merged = _merged("reference", labelmap, "; --label takes one") if len(labels) > 1 else []
        return labelmap.mask(None), merged
    if label in (0, "0"):
        raise InputError("Label 0 is the background; name the label of the liver.")
    if not labels:
        return labelmap.mask(None), []
    return labelmap.mask(labelmap.label_of(label)), []


def _prediction_mask(labelmap: Labelmap, label: LabelChoice | None) -> tuple[np.ndarray, list[str]]:
    labels = labelmap.labels()
    if len(labels) < 2:
        return labelmap.mask(None), []
    found = None if label is None else labelmap.find_label(label)
    if found in labels:
        return labelmap.mask(found), []
    return labelmap.mask(None), _merged("prediction", labelmap, "")


def _merged(role: str, labelmap: Labelmap, hint: str) -> list[str]:
    return [f"The {role} {labelmap.name} has labels {labelmap.listed_labels()}, which were merged{hint}."]
