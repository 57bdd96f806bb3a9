"""Chooses the CAM's threshold and the boxes' padding on slices of patients that the head has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sammix_core.boxes.network_box import NetworkBox, tight_box
from sammix_core.boxes.parts import box_iou, enclosing_box
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings, boxes_from_cam
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.training.views import CLEAN, View

# Not above 0: there the box hugs the patients trained on, and misses parts of livers with lesions.
THRESHOLDS = (-1.0, -0.5, 0.0)


def calibrate_boxes(views: Sequence[View], guidance: Mapping[str, EmbeddingCam], start: BoxSettings) -> BoxSettings:
    """Takes the threshold whose boxes, padded by the median miss of each edge, overlap the labels' boxes best.

    Patients count the same however many volumes and slices they have.

    Args:
        views: Views; the clean ones are used.
        guidance: For each patient a guidance that has not seen that patient.
        start: Settings to change.

    Returns:
        `start` with threshold and padding set.
    """
    clean = [view for view in views if view.name == CLEAN]
    return calibrate_on_maps(clean, [out_of_fold_maps(view, guidance[view.patient]) for view in clean], start)


def calibrate_on_maps(
    clean: Sequence[View], maps: Sequence[GuidanceMaps], start: BoxSettings, thresholds: Sequence[float] = THRESHOLDS
) -> BoxSettings:
    """As `calibrate_boxes`, on maps that are computed already.

    Args:
        clean: Clean views.
        maps: Of each view, by a guidance that has not seen the patient.
        start: Settings to change.
        thresholds: Logits to choose among.

    Returns:
        `start` with threshold and padding set.
    """
    candidates: list[tuple[float, BoxSettings]] = []
    for threshold in thresholds:
        bare = replace(start, threshold=threshold, smooth_mm=0.0, smooth_box_mm=0.0, padding=(0.0, 0.0, 0.0, 0.0))
        misses = [_misses(view, of_view, bare) for view, of_view in zip(clean, maps, strict=True)]
        medians = [(view.patient, np.median(m, axis=0)) for view, m in zip(clean, misses, strict=True) if len(m)]
        padding = _patient_mean(medians) if medians else start.padding  # nothing was found on any patient
        left, top, right, bottom = (round(float(edge), 2) for edge in padding)
        padded = replace(bare, padding=(left, top, right, bottom))
        overlaps = [(view.patient, _overlap(view, m, padded)) for view, m in zip(clean, maps, strict=True)]
        candidates.append((float(_patient_mean(overlaps)), replace(start, threshold=threshold, padding=padded.padding)))
    return max(candidates, key=lambda candidate: candidate[0])[1]  # of equals the first one


def out_of_fold_maps(view: View, guidance: EmbeddingCam, batch: int = 8) -> GuidanceMaps:
    """The guidance's maps of all slices of a view."""
    parts = []
    for start in range(0, len(view.slices), batch):
        embeddings = torch.from_numpy(np.array(view.embeddings[start : start + batch])).float()
        parts.append(guidance.maps(embeddings, embeddings))
    return GuidanceMaps(
        np.concatenate([part.cam_logits for part in parts]), np.concatenate([part.probabilities for part in parts])
    )


def label_box(share: np.ndarray) -> NetworkBox | None:
    """Tight (x_min, y_min, x_max, y_max) of a label share (size, size) uint8, edges, or None for an empty one."""
    box = tight_box(share > 127)
    return None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def _patient_mean(of_volumes: Sequence[tuple[str, Any]]) -> Any:
    """Mean over the patients of the mean over each patient's volumes."""
    patients: dict[str, list[Any]] = {}
    for patient, value in of_volumes:
        patients.setdefault(patient, []).append(value)
    return np.mean([np.mean(values, axis=0) for values in patients.values()], axis=0)


def _pairs(view: View, maps: GuidanceMaps, settings: BoxSettings) -> list[tuple[np.ndarray, np.ndarray]]:
    """(guided, label) boxes of the slices that have both, each round all parts of its slice."""
    guided = _round_all(maps, view, settings)
    labels = [label_box(share) for share in view.shares]
    return [(np.array(f), np.array(b)) for f, b in zip(guided, labels, strict=True) if f is not None and b is not None]


def _round_all(maps: GuidanceMaps, view: View, settings: BoxSettings) -> list[NetworkBox | None]:
    """One box a slice, round all that the guidance found on it."""
    return [enclosing_box(boxes) for boxes in boxes_from_cam(maps, 1.0, view.shares.shape[-1], settings).boxes]


def _misses(view: View, maps: GuidanceMaps, settings: BoxSettings) -> np.ndarray:
    """(n, 4) pixels by which each edge must move outwards to meet the label's."""
    outwards = np.array([-1, -1, 1, 1])
    return np.array([(label - guided) * outwards for guided, label in _pairs(view, maps, settings)])


def _overlap(view: View, maps: GuidanceMaps, settings: BoxSettings) -> float:
    """Mean IoU of guided and labelled boxes; a slice with one of the two alone counts 0."""
    pairs = _pairs(view, maps, settings)
    guided = _round_all(maps, view, settings)
    either = sum(f is not None or label_box(s) is not None for f, s in zip(guided, view.shares, strict=True))
    return sum(box_iou(f, b) for f, b in pairs) / max(1, either)
