"""Slices that need not be encoded: those far from the organ, and thin ones between two that look alike.

The search looks at a slice every `search_mm` and then at all of them around those that may show the organ, one step
beyond and on while it finds more. Of slices of less than 2.5 mm it looks at one every `thin_mm`; maps and boxes of
those between are interpolated, and masks are made of the logits of both neighbours. Where the neighbours disagree
(one without a box, another outline) the slice in the middle is encoded after all. Measured in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sammix_core.boxes import NetworkBox
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.masks.overlap import box_iou, mask_iou
from sammix_core.segmentation.slice_look import SliceDecoder, padded

# Half of what goes on with a run of slices (0.3, and 0.7 to begin one): without the organ it is 0.02 to 0.1.
_LEAST_PROBABILITY = 0.15
_THICK_MM = 2.5  # slices from here on show tips that no neighbour has
_MORE = 1.1  # slices of 1.6 mm are looked at every 6.4 mm rather than every 4.8 mm
_STEP_OF_UNKNOWN_SPACING = 4
_ROUNDED = 1e-3  # a spacing of 1.6 mm is 1.60000002 in a file
_ALIKE = 0.5  # IoU of two neighbours' boxes, and of the cells that hold the organ
_LEAST_SCORE = 0.8  # predicted IoU of the first slice past the end, as in following
_LEAST_OVERLAP = 0.4


@dataclass(frozen=True)
class SliceSampling:
    """How many slices may go without the encoder.

    Attributes:
        search_mm: Distance of the slices that are looked at first; 0 for all slices.
        thin_mm: Distance at which thin slices are looked at; 0 for all slices.
    """

    search_mm: float = 12.0
    thin_mm: float = 6.0

    def stride(self, slice_mm: float, spacing_known: bool) -> int:
        """Of how many slices one is looked at, where the organ is."""
        if self.thin_mm <= 0 or not spacing_known or slice_mm >= _THICK_MM:
            return 1
        return max(1, int(_MORE * self.thin_mm / slice_mm + _ROUNDED))

    def step(self, slice_mm: float, spacing_known: bool) -> int:
        """Of how many slices (those of the stride alone) one is looked at first."""
        if self.search_mm <= 0:
            return 1
        if not spacing_known:
            return _STEP_OF_UNKNOWN_SPACING
        return max(1, int(self.search_mm / slice_mm + _ROUNDED))


EVERY_SLICE = SliceSampling(0.0, 0.0)
DEFAULT_SAMPLING = SliceSampling()


def look_sparsely(count: int, step: int, look: Callable[[Sequence[int]], Iterable[float]]) -> set[int]:
    """Looks at some slices of a volume, and at all around those that may show the organ.

    Args:
        count: Slices.
        step: Of how many slices one is looked at first.
        look: Looks at slices, each once, and gives their probabilities in order.

    Returns:
        The slices that were looked at.

    Example:
        >>> sorted(look_sparsely(12, 4, lambda indices: [float(index in (4, 5)) for index in indices]))
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    """
    seen: dict[int, float] = {}
    wanted = {*range(0, count, step), count - 1}
    while wanted:
        coming = sorted(wanted)
        seen.update(zip(coming, look(coming), strict=True))
        held = [index for index, probability in seen.items() if probability >= _LEAST_PROBABILITY]
        around = {near for index in held for near in range(max(0, index - step), min(count, index + step + 1))}
        wanted = around - seen.keys()
    return set(seen)


def with_those_between(seen: Mapping[int, GuidanceMaps], count: int) -> GuidanceMaps:
    """Maps of all slices from those of some, linearly along z.

    Args:
        seen: Maps of one slice each, by place; the first and the last slice are among them.
        count: Slices.
    """
    places = np.array(sorted(seen))
    logits = np.concatenate([seen[place].cam_logits for place in places])
    probabilities = np.concatenate([seen[place].probabilities for place in places])
    if len(places) == count:
        return GuidanceMaps(logits, probabilities)
    low, high, part = _neighbours(np.arange(count), places)
    wide = part[:, None, None]
    return GuidanceMaps(
        (logits[low] * (1 - wide) + logits[high] * wide).astype(np.float32),
        (probabilities[low] * (1 - part) + probabilities[high] * part).astype(np.float32),
    )


def thin_slices_filled(
    guided: GuidedBoxes,
    stride: int,
    count: int,
    size: int,
    viewer: SliceDecoder,
    soon: Callable[[Sequence[int]], None] | None = None,
) -> GuidedBoxes:
    """From what was found on every `stride`-th slice to all slices.

    Args:
        guided: Of slices 0, stride, 2 * stride and so on.
        stride: Their distance, in slices.
        count: All slices.
        size: Side of the network image in pixels.
        viewer: Decodes those whose neighbours disagree.
        soon: Told the slices between that are looked at for certain, so that they can be encoded together.
    """
    places = np.arange(len(guided.boxes)) * stride
    low, high, part = _neighbours(np.arange(count), places)
    wide = part[:, None, None]
    result = GuidedBoxes(
        cam_logits=(guided.cam_logits[low] * (1 - wide) + guided.cam_logits[high] * wide).astype(np.float32),
        probabilities=(guided.probabilities[low] * (1 - part) + guided.probabilities[high] * part).astype(np.float32),
        support=(guided.support[low] * (1 - wide) + guided.support[high] * wide) >= 0.5,
        boxes=[None] * count,
        scores=(guided.scores[low] * (1 - part) + guided.scores[high] * part).astype(np.float32),
        between=np.full((count, 2), -1, dtype=np.int32),
    )
    assert result.between is not None
    for place, box in enumerate(guided.boxes):
        result.boxes[place * stride] = box
    gaps = [
        (place * stride, (place + 1) * stride)
        for place in range(len(guided.boxes) - 1)
        if _box_at(guided, place) and _box_at(guided, place + 1)
    ]
    ends = [
        (place, range(place * stride, min(max(-1, (place + onwards) * stride), count), onwards)[1:])
        for place in range(len(guided.boxes))
        for onwards in (-1, 1)
        if _box_at(guided, place) and not _box_at(guided, place + onwards)
    ]
    if soon is not None:
        middles = [_middle(*gap) for gap in gaps if gap[1] - gap[0] > 1 and not _alike(result, *gap)]
        soon([*middles, *(beyond[0] for _, beyond in ends if beyond)])
    for first, second in gaps:
        _fill_between(result, first, second, viewer, size)
    for place, beyond in ends:
        _follow_past_the_end(result, guided, place, beyond, viewer, size)
    return result


def _neighbours(wanted: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each wanted place the known ones below and above, and how far between them it lies, in [0, 1]."""
    low = np.clip(np.searchsorted(places, wanted, side="right") - 1, 0, len(places) - 1)
    high = np.minimum(low + 1, len(places) - 1)
    gap = np.maximum(places[high] - places[low], 1)
    return low, high, np.where(high > low, (wanted - places[low]) / gap, 0.0).astype(np.float32)


def _fill_between(result: GuidedBoxes, first: int, second: int, viewer: SliceDecoder, size: int) -> None:
    """Lets two slices with boxes stand for those between them, or looks at the middle one where they differ."""
    box, other = result.boxes[first], result.boxes[second]
    if second - first < 2:
        return
    assert box is not None
    assert other is not None
    assert result.between is not None
    if _alike(result, first, second):
        for index in range(first + 1, second):
            result.boxes[index] = _mixed(box, other, (index - first) / (second - first))
            result.between[index] = first, second
        return
    middle = _middle(first, second)
    mixed = _mixed(box, other, (middle - first) / (second - first))
    look = viewer.look(middle, padded(mixed, 0.1, size), result.cam_logits[middle], result.support[middle])
    result.boxes[middle] = mixed if look is None else look.box
    _fill_between(result, first, middle, viewer, size)
    _fill_between(result, middle, second, viewer, size)


def _middle(first: int, second: int) -> int:
    return (first + second) // 2


def _alike(result: GuidedBoxes, first: int, second: int) -> bool:
    """Whether two slices with boxes show so much the same that they can stand for those between them."""
    box, other = result.boxes[first], result.boxes[second]
    assert box is not None
    assert other is not None
    return box_iou(box, other) >= _ALIKE and mask_iou(result.support[first], result.support[second]) >= _ALIKE


def _follow_past_the_end(
    result: GuidedBoxes, guided: GuidedBoxes, end: int, slices: range, viewer: SliceDecoder, size: int
) -> None:
    """Gives slices between the organ's last one and one without it boxes, as far as the decoder is sure of them."""
    box, logits, support = guided.boxes[end], guided.cam_logits[end], guided.support[end]
    result.support[list(slices)] = False
    for index in slices:
        assert box is not None
        look = viewer.look(index, padded(box, 0.05, size), logits, support)
        if look is None or look.score < _LEAST_SCORE or box_iou(look.box, box) < _LEAST_OVERLAP:
            return
        box = result.boxes[index] = look.box
        result.cam_logits[index], result.support[index], result.scores[index] = logits, support, guided.scores[end]


def _box_at(guided: GuidedBoxes, place: int) -> bool:
    return 0 <= place < len(guided.boxes) and guided.boxes[place] is not None


def _mixed(box: NetworkBox, other: NetworkBox, share: float) -> NetworkBox:
    left, top, right, bottom = ((1 - share) * edge + share * beyond for edge, beyond in zip(box, other, strict=True))
    return left, top, right, bottom
