"""Dice, HD95, surface Dice and volumes of one binary mask against another.

The formulas are MONAI's. This module passes it no more voxels than it needs, and puts its NaN and infinity into words.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sammix_core.errors import InputError

if TYPE_CHECKING:
    import torch

SURFACE_TOLERANCE_MM = 2.0

# MONAI finds surfaces in 2 x 2 x 2 neighbourhoods, so one voxel of background round them is enough; two are cheap.
_MARGIN_VOXELS = 2


@dataclass(frozen=True)
class Scores:
    """The agreement of a mask with a reference.

    Attributes:
        dice: Volume overlap, 0 to 1; None when both masks are empty.
        hd95_mm: The larger of the two directed 95th percentiles of the surface distances, in mm; None when the spacing
            is unknown or a mask is empty.
        surface_dice_2mm: Share of both surfaces that lies within 2 mm of the other one (DeepMind's definition, by
            area), 0 to 1; None when the spacing is unknown or both masks are empty.
        prediction_voxels: Voxels of the mask.
        reference_voxels: Voxels of the reference.
        prediction_ml: Volume of the mask; None when the spacing is unknown.
        reference_ml: Volume of the reference; None when the spacing is unknown.
        volume_difference_ml: Mask minus reference; None when the spacing is unknown.
        volume_difference_percent: Mask minus reference, as a share of the reference; None when that is empty.
        spacing_known: Whether the millimetres of the grid are known.
        notes: Sentences on scores that could not be computed, with the reason.
    """

    dice: float | None
    hd95_mm: float | None
    surface_dice_2mm: float | None
    prediction_voxels: int
    reference_voxels: int
    prediction_ml: float | None
    reference_ml: float | None
    volume_difference_ml: float | None
    volume_difference_percent: float | None
    spacing_known: bool
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The scores as plain values; None where one could not be computed."""
        return {**asdict(self), "notes": list(self.notes)}


def score_masks(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float] | None) -> Scores:
    """Scores one binary mask against another on the same grid.

    Args:
        prediction: (k, j, i), any dtype; non-zero is the object.
        reference: (k, j, i), the same shape; non-zero is the object.
        spacing: (i, j, k) in mm, or None when it is unknown: then all figures in millimetres are None.

    Returns:
        The scores, with a note for each that could not be computed.

    Raises:
        InputError: The two shapes differ, or are not three-dimensional.

    Example:
        >>> cube = np.zeros((8, 8, 8), np.uint8)
        >>> cube[2:6, 2:6, 2:6] = 1
        >>> score_masks(cube, cube, spacing=(1.0, 1.0, 2.0)).dice
        1.0
    """
    if prediction.shape != reference.shape or prediction.ndim != 3:
        raise InputError(
            f"The two masks have different shapes ({_by(prediction.shape)} and {_by(reference.shape)} voxels), "
            "so they cannot be compared."
        )
    pred_mask, ref_mask = _crop_to_union(prediction != 0, reference != 0)
    pred_voxels, ref_voxels = int(pred_mask.sum()), int(ref_mask.sum())
    ml_per_voxel = None if spacing is None else math.prod(spacing) / 1000.0
    notes = _notes(pred_voxels, ref_voxels, spacing is not None)
    dice = hd95 = surface_dice = None
    if pred_voxels or ref_voxels:
        dice, hd95, surface_dice = _by_monai(pred_mask, ref_mask, spacing)
    difference = pred_voxels - ref_voxels
    return Scores(
        dice=dice,
        hd95_mm=hd95,
        surface_dice_2mm=surface_dice,
        prediction_voxels=pred_voxels,
        reference_voxels=ref_voxels,
        prediction_ml=None if ml_per_voxel is None else pred_voxels * ml_per_voxel,
        reference_ml=None if ml_per_voxel is None else ref_voxels * ml_per_voxel,
        volume_difference_ml=None if ml_per_voxel is None else difference * ml_per_voxel,
        volume_difference_percent=100.0 * difference / ref_voxels if ref_voxels else None,
        spacing_known=spacing is not None,
        notes=notes,
    )


def _crop_to_union(prediction: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts both masks to the box round their union, so that distances in a scan of 2,000 slices stay fast."""
    union = prediction | reference
    box = []
    for axis in range(union.ndim):
        others = tuple(other for other in range(union.ndim) if other != axis)
        hit = np.flatnonzero(union.any(axis=others))
        if hit.size == 0:
            return prediction[:0, :0, :0], reference[:0, :0, :0]
        box.append(slice(max(int(hit[0]) - _MARGIN_VOXELS, 0), int(hit[-1]) + 1 + _MARGIN_VOXELS))
    return prediction[tuple(box)], reference[tuple(box)]


def _by_monai(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float] | None
) -> tuple[float, float | None, float | None]:
    """Dice, HD95 and surface Dice of two masks, at least one of which is not empty."""
    hd95 = surface_dice = None
    pred_tensor, ref_tensor = _one_hot(prediction), _one_hot(reference)
    with warnings.catch_warnings():
        # MONAI warns of a deprecated argument of its own, and of an empty mask, on which `_notes` has a sentence.
        warnings.simplefilter("ignore")
        dice = _dice(pred_tensor, ref_tensor)
        if spacing is not None:
            spacing_kji = spacing[::-1]
            surface_dice = _surface_dice(pred_tensor, ref_tensor, spacing_kji)
            if prediction.any() and reference.any():
                hd95 = _hd95(pred_tensor, ref_tensor, spacing_kji)
    return dice, hd95, surface_dice


def _one_hot(mask: np.ndarray) -> torch.Tensor:
    """MONAI's layout: (batch 1, channel 1, k, j, i), with no channel for the background."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(mask, dtype=np.uint8))[None, None]


def _dice(prediction: torch.Tensor, reference: torch.Tensor) -> float:
    from monai.metrics import compute_dice

    # Without ignore_empty=False MONAI returns NaN for an empty reference, where a mask that is not empty scores 0.
    return float(compute_dice(prediction, reference, include_background=True, ignore_empty=False)[0, 0])


def _hd95(prediction: torch.Tensor, reference: torch.Tensor, spacing_kji: tuple[float, ...]) -> float:
    from monai.metrics import compute_hausdorff_distance

    distances = compute_hausdorff_distance(
        prediction, reference, include_background=True, percentile=95, spacing=list(spacing_kji)
    )
    return float(distances[0, 0])


def _surface_dice(prediction: torch.Tensor, reference: torch.Tensor, spacing_kji: tuple[float, ...]) -> float:
    from monai.metrics import compute_surface_dice

    shares = compute_surface_dice(
        prediction,
        reference,
        class_thresholds=[SURFACE_TOLERANCE_MM],
        include_background=True,
        spacing=list(spacing_kji),
        use_subvoxels=True,
    )
    return float(shares[0, 0])


def _notes(pred_voxels: int, ref_voxels: int, spacing_known: bool) -> tuple[str, ...]:
    notes = []
    if not pred_voxels and not ref_voxels:
        notes.append("Both masks are empty, so there is nothing to compare.")
    elif not pred_voxels:
        notes.append("The prediction is empty, so there is no surface distance.")
    elif not ref_voxels:
        notes.append("The reference is empty, so there is no surface distance and no relative volume difference.")
    if not spacing_known:
        notes.append("The spacing is unknown, so there are no figures in millimetres or millilitres.")
    return tuple(notes)


def _by(shape_kji: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in reversed(shape_kji))
