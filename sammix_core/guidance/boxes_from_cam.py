"""From class activation maps to boxes, one a slice or one a part, by the whole volume.

Slice by slice the boxes would flicker: a heart that looks like a dome, a dome missed between two others. So maps are
smoothed along z in millimetres, slices are chosen by hysteresis on the probability, and components in 3-D are kept
by how strongly the map supports them; the largest alone would lose half of a liver that a slab shows in two pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from sammix_core.boxes.network_box import NetworkBox, tight_box
from sammix_core.boxes.parts import number_parts
from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.masks.components import (
    component_boxes,
    component_weights,
    components_touching,
    label_components,
    select_components,
)
from sammix_core.masks.probability import sigmoid
from sammix_core.preprocessing.upsampling import upsampled


@dataclass(frozen=True)
class BoxSettings:
    """How boxes are made from maps; calibrated with a model and kept in its manifest.

    Attributes:
        threshold: CAM logit above which a cell belongs to the structure.
        probability_high: A run of slices needs one slice at least this probable.
        probability_low: A run continues over slices that are at least this probable.
        smooth_mm: Sigma of the Gaussian along z over logits and probabilities; 0 for none.
        smooth_box_mm: Sigma of the Gaussian along z over box edges; 0 for none.
        component_share: 3-D components need this share of the strongest component's support.
        least_support: 3-D components need this summed probability, in cells; a speck in a pelvis is no liver.
        most_gap_mm: Components further than this above or below the strongest one are dropped: the pieces of one liver
            lie beside each other, a muscle of the pelvis does not.
        padding: Network pixels added at (x_min, y_min, x_max, y_max); negative ones shrink.
        whole_cells: Whether a box goes round all of each cell, the far edges' too, and not along the outline that runs
            between cells; for coarse maps.
        split: Whether separate parts of the map on a slice get a box each; otherwise one box goes round all.
        part_gap: Parts that are no more than twice this many cells apart are one.
        least_part: Summed probability, in cells, that a part needs for a box of its own; it joins the nearest part with
            less.
        part_share: It also needs this share of the strongest part's on the slice.
    """

    threshold: float = 0.0
    probability_high: float = 0.7
    probability_low: float = 0.3
    smooth_mm: float = 2.0
    smooth_box_mm: float = 0.0
    component_share: float = 0.05
    least_support: float = 20.0
    most_gap_mm: float = 25.0
    padding: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    whole_cells: bool = False
    split: bool = False
    part_gap: int = 1
    least_part: float = 6.0
    part_share: float = 0.02

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain JSON values."""
        return settings_to_dict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> BoxSettings:
        """Reads the fields from a manifest.

        Raises:
            InputError: A field is not known to this version.
        """
        return settings_from_dict(cls, fields, "The model's box section")


@dataclass
class GuidedBoxes:
    """The guidance's boxes for a volume with the maps behind them, in canonical axial order.

    Following changes a copy of it in place, slice by slice.

    Attributes:
        cam_logits: (n, h, w) float32, smoothed along z.
        probabilities: (n,) float32, smoothed along z.
        support: (n, h, w) bool: cells of kept components.
        boxes: (x_min, y_min, x_max, y_max) in network pixels of each box of a slice, the strongest part's first; none
            for a slice without the structure.
        scores: (n,) float32, mean CAM probability inside the kept cells; 0 without any.
        between: (n, 2) int32: the two slices that a thin slice is interpolated from; -1 for slices that are not. None
            where no slice is.
    """

    cam_logits: np.ndarray
    probabilities: np.ndarray
    support: np.ndarray
    boxes: list[tuple[NetworkBox, ...]]
    scores: np.ndarray
    between: np.ndarray | None = None

    def copy(self) -> GuidedBoxes:
        """A copy that may be changed without changing this one."""
        return GuidedBoxes(
            cam_logits=self.cam_logits.copy(),
            probabilities=self.probabilities.copy(),
            support=self.support.copy(),
            boxes=list(self.boxes),
            scores=self.scores.copy(),
            between=None if self.between is None else self.between.copy(),
        )


def boxes_from_cam(maps: GuidanceMaps, slice_mm: float, size: int, settings: BoxSettings) -> GuidedBoxes:
    """Makes one box a slice with the structure, or with `split` one a part.

    Args:
        maps: Maps of all slices of a volume, in order.
        slice_mm: Distance of slices.
        size: Side of the network image in pixels.
        settings: The model's settings.

    Returns:
        Boxes in network pixels with the smoothed maps that they come from.
    """
    logits = _along_z(maps.cam_logits, slice_mm, settings.smooth_mm)
    probabilities = _along_z(maps.probabilities, slice_mm, settings.smooth_mm)
    chosen = hysteresis(probabilities, settings.probability_high, settings.probability_low)
    cells = (logits > settings.threshold) & chosen[:, None, None]
    weights = sigmoid(logits)
    support = supported_components(cells, weights, settings.component_share, settings.least_support)
    support = near_the_strongest(support, weights, settings.most_gap_mm / slice_mm)
    boxes: list[tuple[NetworkBox, ...]] = []
    scores = np.zeros(len(logits), dtype=np.float32)
    for index, kept in enumerate(support):
        boxes.append(
            tuple(_box_of(logits[index], part, size, settings) for part in _parts(kept, weights[index], settings))
        )
        if kept.any():
            scores[index] = sigmoid(logits[index][kept]).mean()
    if settings.smooth_box_mm > 0:
        boxes = _smooth_boxes(boxes, settings.smooth_box_mm / slice_mm)
    return GuidedBoxes(logits, probabilities, support, boxes, scores)


def hysteresis(probabilities: np.ndarray, high: float, low: float) -> np.ndarray:
    """Chooses the runs of slices at or above `low` that hold a slice at or above `high`.

    >>> hysteresis(np.array([0.1, 0.4, 0.9, 0.4, 0.1, 0.4]), high=0.7, low=0.3)
    array([False,  True,  True,  True, False, False])
    """
    return components_touching(probabilities >= low, probabilities >= high)


def supported_components(cells: np.ndarray, weights: np.ndarray, share: float, least: float = 0.0) -> np.ndarray:
    """Keeps the 3-D components of `cells` whose summed weight is at least `share` of the heaviest one's.

    Args:
        cells: (n, h, w) bool.
        weights: (n, h, w) float, the map's probability.
        share: From 0 (all are kept) to 1 (the heaviest alone).
        least: Summed weight that any component needs.
    """
    labels, count = label_components(cells, corners=True)
    if count == 0:
        return cells
    support = component_weights(labels, count, weights)
    return select_components(labels, support >= max(least, share * support.max()))


def near_the_strongest(cells: np.ndarray, weights: np.ndarray, most_gap: float) -> np.ndarray:
    """Drops 3-D components that lie far above or below the strongest one.

    Args:
        cells: (n, h, w) bool.
        weights: (n, h, w) float, the map's probability.
        most_gap: Slices that may lie between.
    """
    labels, count = label_components(cells, corners=True)
    if count < 2:
        return cells
    spans = [(box[0].start, box[0].stop) for box in component_boxes(labels)]
    first, last = spans[int(component_weights(labels, count, weights).argmax())]
    gaps = np.array([max(first - stop, start - last, 0) for start, stop in spans])
    return select_components(labels, gaps <= most_gap)


def _along_z(values: np.ndarray, slice_mm: float, sigma_mm: float) -> np.ndarray:
    if sigma_mm <= 0 or len(values) == 1:
        return values
    return ndimage.gaussian_filter1d(values, sigma_mm / slice_mm, axis=0, mode="nearest").astype(np.float32)


def _parts(kept: np.ndarray, weights: np.ndarray, settings: BoxSettings) -> list[np.ndarray]:
    """(h, w) bool of each part of a slice's kept cells that gets a box, the strongest first; none without cells."""
    if not kept.any():
        return []
    if not settings.split:
        return [kept]
    near = ndimage.binary_dilation(kept, np.ones((3, 3)), iterations=settings.part_gap) if settings.part_gap else kept
    labels, count = label_components(near, corners=True)
    labels = np.where(kept, labels, 0)
    strength = component_weights(labels, count, weights)
    least = max(settings.least_part, settings.part_share * strength.max())
    own = [number for number in np.argsort(-strength, kind="stable") if strength[number] >= least]
    own = own or [int(strength.argmax())]
    distances = np.stack([ndimage.distance_transform_edt(labels != number + 1) for number in own])
    nearest = distances.argmin(0)
    return [kept & (nearest == place) for place in range(len(own))]


def _box_of(logits: np.ndarray, kept: np.ndarray, size: int, settings: BoxSettings) -> NetworkBox:
    """Tight box of the kept part of the enlarged map, with padding, inside the network image."""
    factor = size // logits.shape[-1]
    # With a border of one cell, so that the enlarged map may end between cells.
    near = np.kron(ndimage.binary_dilation(kept, np.ones((3, 3))), np.ones((factor, factor), dtype=bool))
    inside = (upsampled(logits, size) > settings.threshold) & near
    if settings.whole_cells or not inside.any():  # a single weak cell can vanish between its neighbours
        inside = np.kron(kept, np.ones((factor, factor), dtype=bool))
    tight = tight_box(inside)
    if tight is None:
        raise ValueError("A box needs cells of the map.")
    left, top, right, bottom = settings.padding
    x_min, y_min = np.clip([tight[0] - left, tight[1] - top], 0.0, size - 1.0).tolist()
    x_max, y_max = np.clip([tight[2] + right, tight[3] + bottom], [x_min + 1, y_min + 1], size).tolist()
    return x_min, y_min, x_max, y_max


def _smooth_boxes(boxes: list[tuple[NetworkBox, ...]], sigma: float) -> list[tuple[NetworkBox, ...]]:
    """Gaussian means of the edges, part by part, over neighbours within the same run of slices with the part."""
    numbers = number_parts(boxes)
    result = [list(of_slice) for of_slice in boxes]
    for part in {number for of_slice in numbers for number in of_slice}:
        runs, count = label_components(np.array([part in of_slice for of_slice in numbers]))
        for run in range(1, count + 1):
            places = [(int(index), numbers[index].index(part)) for index in np.flatnonzero(runs == run)]
            edges = np.array([boxes[index][place] for index, place in places], dtype=float)
            smooth = ndimage.gaussian_filter1d(edges, sigma, axis=0, mode="nearest")
            for (index, place), edge in zip(places, smooth, strict=True):
                result[index][place] = (float(edge[0]), float(edge[1]), float(edge[2]), float(edge[3]))
    return [tuple(of_slice) for of_slice in result]
