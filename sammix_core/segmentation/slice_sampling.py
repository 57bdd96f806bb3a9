"""Which slices need not be encoded: those far from the organ, and thin ones between two that look alike.

`find_boxes` encodes a slice every `search_mm` and then all slices around those that may show the organ, one step
beyond and on while it finds more. Of slices of less than 2.5 mm it encodes one every `thin_mm`; maps and boxes of those
between are interpolated, and masks are made of the logits of both neighbours. Where the neighbours disagree (one
without a box, another outline) the slice in the middle is encoded after all. Measured in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sammix_core.boxes.network_box import NetworkBox
from sammix_core.boxes.parts import box_iou, matching_boxes
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.masks.overlap import mask_iou
from sammix_core.segmentation.slice_decoder import NetworkMask, SliceDecoder, padded

# Half of the probability that continues a run of slices (0.3, and 0.7 to begin one): without the organ it is 0.02 to
# 0.1.
_LEAST_PROBABILITY = 0.15
_THICK_MM = 2.5  # slices from here on show tips that no neighbour has
_MORE = 1.1  # slices of 1.6 mm are encoded every 3.2 mm rather than all
_STEP_OF_UNKNOWN_SPACING = 4
_ROUNDED = 1e-3  # a spacing of 1.6 mm is 1.60000002 in a file
_ALIKE = 0.5  # IoU of two neighbours' boxes, and of the cells that hold the organ
_LEAST_SCORE = 0.8  # predicted IoU of the first slice past the end, as in following
_LEAST_OVERLAP = 0.4


@dataclass(frozen=True)
class SliceSampling:
    """How many slices may be left out by the encoder.

    Attributes:
        search_mm: Distance of the slices that are encoded first; 0 for all slices.
        thin_mm: Distance of the thin slices that are encoded; 0 for all slices.
    """

    search_mm: float = 12.0
    thin_mm: float = 3.0

    def stride(self, slice_mm: float, spacing_known: bool) -> int:
        """The step between encoded slices where the organ is; 1 for every slice."""
        if self.thin_mm <= 0 or not spacing_known or slice_mm >= _THICK_MM:
            return 1
        return max(1, int(_MORE * self.thin_mm / slice_mm + _ROUNDED))

    def step(self, slice_mm: float, spacing_known: bool) -> int:
        """The step between the slices that are encoded first, counted in slices of the stride."""
        if self.search_mm <= 0:
            return 1
        if not spacing_known:
            return _STEP_OF_UNKNOWN_SPACING
        return max(1, int(self.search_mm / slice_mm + _ROUNDED))


EVERY_SLICE = SliceSampling(0.0, 0.0)
DEFAULT_SAMPLING = SliceSampling()


def sample_slices(count: int, step: int, evaluate: Callable[[Sequence[int]], Iterable[float]]) -> set[int]:
    """Evaluates some slices of a volume, and all around those that may show the organ.

    Args:
        count: Slices.
        step: Every `step`-th slice is evaluated first.
        evaluate: Returns the probabilities of slices in their order; called with each slice once.

    Returns:
        The slices that were evaluated.

    Example:
        >>> sorted(sample_slices(12, 4, lambda indices: [float(index in (4, 5)) for index in indices]))
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    """
    probabilities: dict[int, float] = {}
    wanted = {*range(0, count, step), count - 1}
    while wanted:
        batch = sorted(wanted)
        probabilities.update(zip(batch, evaluate(batch), strict=True))
        likely = [index for index, probability in probabilities.items() if probability >= _LEAST_PROBABILITY]
        around = {near for index in likely for near in range(max(0, index - step), min(count, index + step + 1))}
        wanted = around - probabilities.keys()
    return set(probabilities)


def interpolate_maps(sampled: Mapping[int, GuidanceMaps], count: int) -> GuidanceMaps:
    """Interpolates the maps of all slices linearly along z from those of some.

    Args:
        sampled: Maps of one slice each, by index; the first and the last slice are among them.
        count: Slices.
    """
    indices = np.array(sorted(sampled))
    logits = np.concatenate([sampled[index].cam_logits for index in indices])
    probabilities = np.concatenate([sampled[index].probabilities for index in indices])
    if len(indices) == count:
        return GuidanceMaps(logits, probabilities)
    low, high, part = _neighbours(np.arange(count), indices)
    wide = part[:, None, None]
    return GuidanceMaps(
        (logits[low] * (1 - wide) + logits[high] * wide).astype(np.float32),
        (probabilities[low] * (1 - part) + probabilities[high] * part).astype(np.float32),
    )


def fill_thin_slices(
    guided: GuidedBoxes,
    stride: int,
    count: int,
    size: int,
    decoder: SliceDecoder,
    encode_ahead: Callable[[Sequence[int]], None] | None = None,
) -> GuidedBoxes:
    """Extends boxes and maps from every `stride`-th slice to all slices.

    Args:
        guided: Of slices 0, stride, 2 * stride and so on.
        stride: Their distance, in slices.
        count: All slices.
        size: Side of the network image in pixels.
        decoder: Decodes slices whose neighbours disagree.
        encode_ahead: Called with the slices between that are certain to be decoded, to encode them together.
    """
    indices = np.arange(len(guided.boxes)) * stride
    low, high, part = _neighbours(np.arange(count), indices)
    wide = part[:, None, None]
    between = np.full((count, 2), -1, dtype=np.int32)
    result = GuidedBoxes(
        cam_logits=(guided.cam_logits[low] * (1 - wide) + guided.cam_logits[high] * wide).astype(np.float32),
        probabilities=(guided.probabilities[low] * (1 - part) + guided.probabilities[high] * part).astype(np.float32),
        support=(guided.support[low] * (1 - wide) + guided.support[high] * wide) >= 0.5,
        boxes=[()] * count,
        scores=(guided.scores[low] * (1 - part) + guided.scores[high] * part).astype(np.float32),
        between=between,
    )
    for number, boxes in enumerate(guided.boxes):
        result.boxes[number * stride] = boxes
    gaps = [
        (number * stride, (number + 1) * stride)
        for number in range(len(guided.boxes) - 1)
        if _has_box(guided, number) and _has_box(guided, number + 1)
    ]
    ends = [
        (number, range(number * stride, min(max(-1, (number + direction) * stride), count), direction)[1:])
        for number in range(len(guided.boxes))
        for direction in (-1, 1)
        if _has_box(guided, number) and not _has_box(guided, number + direction)
    ]
    if encode_ahead is not None:
        middles = [_middle(*gap) for gap in gaps if gap[1] - gap[0] > 1 and not _alike(result, *gap)]
        encode_ahead([*middles, *(beyond[0] for _, beyond in ends if beyond)])
    for first, second in gaps:
        _fill_gap(result, between, first, second, decoder, size)
    for number, beyond in ends:
        _follow_past_end(result, guided, number, beyond, decoder, size)
    return result


def _neighbours(wanted: np.ndarray, sampled: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each wanted slice the sampled ones below and above, and how far between them it lies, in [0, 1]."""
    low = np.clip(np.searchsorted(sampled, wanted, side="right") - 1, 0, len(sampled) - 1)
    high = np.minimum(low + 1, len(sampled) - 1)
    gap = np.maximum(sampled[high] - sampled[low], 1)
    return low, high, np.where(high > low, (wanted - sampled[low]) / gap, 0.0).astype(np.float32)


def _fill_gap(
    result: GuidedBoxes, between: np.ndarray, first: int, second: int, decoder: SliceDecoder, size: int
) -> None:
    """Interpolates the slices between two with boxes, or decodes the middle one where the two differ."""
    if second - first < 2 or not (result.boxes[first] or result.boxes[second]):
        return
    if _alike(result, first, second):
        pairs = _pairs(result, first, second)
        for index in range(first + 1, second):
            share = (index - first) / (second - first)
            result.boxes[index] = tuple(_interpolated(box, other, share) for box, other in pairs)
            between[index] = first, second
        return
    middle = _middle(first, second)
    share = (middle - first) / (second - first)
    boxes = [_interpolated(box, other, share) for box, other in _pairs(result, first, second)]
    masks = [_decoded_near(result, middle, box, decoder, size) for box in boxes]
    found = [box if mask is None else mask.box for box, mask in zip(boxes, masks, strict=True)]
    for box in _unpaired(result, first, second):  # it may have ended before the middle
        mask = _decoded_near(result, middle, box, decoder, size)
        if mask is not None and mask.score >= _LEAST_SCORE:
            found.append(mask.box)
    result.boxes[middle] = tuple(found)
    _fill_gap(result, between, first, middle, decoder, size)
    _fill_gap(result, between, middle, second, decoder, size)


def _decoded_near(
    result: GuidedBoxes, index: int, box: NetworkBox, decoder: SliceDecoder, size: int
) -> NetworkMask | None:
    return decoder.decode(index, padded(box, 0.1, size), result.cam_logits[index], result.support[index])


def _pairs(result: GuidedBoxes, first: int, second: int) -> list[tuple[NetworkBox, NetworkBox]]:
    """The boxes of the same part on two slices; single boxes are of one part wherever they lie."""
    ones, others = result.boxes[first], result.boxes[second]
    if len(ones) == len(others) == 1:
        return [(ones[0], others[0])]
    return [(ones[i], others[j]) for i, j in matching_boxes(ones, others)]


def _unpaired(result: GuidedBoxes, first: int, second: int) -> list[NetworkBox]:
    """The boxes of parts that only one of two slices shows."""
    paired = {box for pair in _pairs(result, first, second) for box in pair}
    return [box for index in (first, second) for box in result.boxes[index] if box not in paired]


def _middle(first: int, second: int) -> int:
    return (first + second) // 2


def _alike(result: GuidedBoxes, first: int, second: int) -> bool:
    """Whether two slices with boxes show the same parts so similarly that those between them may be interpolated."""
    pairs = _pairs(result, first, second)
    if not len(pairs) == len(result.boxes[first]) == len(result.boxes[second]):
        return False
    boxes_alike = all(box_iou(box, other) >= _ALIKE for box, other in pairs)
    return boxes_alike and mask_iou(result.support[first], result.support[second]) >= _ALIKE


def _follow_past_end(
    result: GuidedBoxes, guided: GuidedBoxes, end: int, slices: range, decoder: SliceDecoder, size: int
) -> None:
    """Sets boxes between the organ's last slice and one without it, part by part, as far as the decoder is sure."""
    boxes, logits, support = guided.boxes[end], guided.cam_logits[end], guided.support[end]
    result.support[list(slices)] = False
    for index in slices:
        masks = [(box, decoder.decode(index, padded(box, 0.05, size), logits, support)) for box in boxes]
        boxes = tuple(
            mask.box
            for box, mask in masks
            if mask is not None and mask.score >= _LEAST_SCORE and box_iou(mask.box, box) >= _LEAST_OVERLAP
        )
        if not boxes:
            return
        result.boxes[index] = boxes
        result.cam_logits[index], result.support[index], result.scores[index] = logits, support, guided.scores[end]


def _has_box(guided: GuidedBoxes, index: int) -> bool:
    return 0 <= index < len(guided.boxes) and bool(guided.boxes[index])


def _interpolated(box: NetworkBox, other: NetworkBox, share: float) -> NetworkBox:
    left, top, right, bottom = ((1 - share) * start + share * end for start, end in zip(box, other, strict=True))
    return left, top, right, bottom
