"""Makes the guidance's boxes better by what the decoder sees, and follows the organ from slice to slice.

Three steps, each on network pixels and canonical slices:

1. *Refit.* Each box is grown by a tenth, decoded, and drawn tight about the mask that comes: the map's 64 x 64 cells
   place an edge to some 8 mm, the mask to about 2.
2. *Drop.* From the surest slice outwards, where for `break_mm` on end the masks are of another density than the organ
   (and the map is not sure of them), what lies beyond is no part of it: bowel, muscle.
3. *Follow.* At both ends of what was found, the next slice is decoded from its neighbour's box and mask. It is taken
   while the decoder is sure, the density stays and the masks overlap. Tips and domes are where the map is weakest.

Why, and what each is worth: docs/decisions/following.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sammix_core.boxes import NetworkBox
from sammix_core.errors import InputError
from sammix_core.guidance.boxes_from_cam import GuidedBoxes, sigmoid
from sammix_core.slice_look import Look, padded

# (canonical slice, box, map logits (h, w) or None, support (h, w) or None) -> Look or None
LookAt = Callable[[int, NetworkBox, np.ndarray | None, np.ndarray | None], Look | None]

_MAP_LIMIT = 6.0  # logits of a neighbour's mask as dense prompt: sure, but not deaf to the image
_USUAL_SLICE_MM = 5.0


@dataclass(frozen=True)
class FollowSettings:
    """How boxes are refitted and the organ is followed; kept in a model's manifest under guidance, "following".

    Attributes:
        grow: Share of its size by which a box grows on each side before it is refitted; at 0 nothing of all this is
            done.
        follow_mm: How far past the ends the organ is followed; 0 for not at all.
        least_score: Predicted IoU that a followed slice needs.
        most_hu: Followed slices differ by at most this from those near the end that they start from.
        least_overlap: IoU of a followed mask with its neighbour's, at slices of up to 5 mm.
        least_area: Pixels, of a 256 x 256 image, that a followed mask needs.
        break_mm: Length of a stretch of doubtful slices that ends the organ; 0 drops nothing.
        doubt_hu: A slice is doubtful when its HU differ by more than this from the organ's.
        sure_probability: The map's median inside the mask from which a slice is never doubtful.
    """

    grow: float = 0.1
    follow_mm: float = 40.0
    least_score: float = 0.8
    most_hu: float = 35.0
    least_overlap: float = 0.4
    least_area: float = 40.0
    break_mm: float = 20.0
    doubt_hu: float = 25.0
    sure_probability: float = 0.98

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> FollowSettings:
        """Reads the fields from a manifest.

        Raises:
            InputError: A field is not known to this version.
        """
        try:
            return cls(**fields)
        except TypeError as error:
            raise InputError(f"The model's following is not one that this version knows ({error}).") from error


NOT_FOLLOWED = FollowSettings(grow=0.0, follow_mm=0.0, break_mm=0.0)


def follow(
    guided: GuidedBoxes,
    look_at: LookAt,
    slice_mm: float,
    size: int,
    settings: FollowSettings,
    step: Callable[[], None] = lambda: None,
) -> GuidedBoxes:
    """Refits boxes, drops what is of another density, follows the organ past its ends.

    Args:
        guided: What the guidance found.
        look_at: Decodes a slice.
        slice_mm: Distance of slices.
        size: Side of the network image in pixels.
        settings: The model's settings.
        step: Called after each of the guidance's boxes.

    Returns:
        The boxes in use. Followed slices get their neighbour's mask as map, so that masks are made from it.
    """
    if settings.grow <= 0:
        return guided
    looks: dict[int, Look] = {}
    for index, box in enumerate(guided.boxes):
        if box is not None:
            grown = padded(box, settings.grow, size)
            look = look_at(index, grown, guided.cam_logits[index], guided.support[index])
            if look is not None:
                looks[index] = look
            step()
    boxes = [looks[index].box if index in looks else box for index, box in enumerate(guided.boxes)]
    support = guided.support.copy()
    for index in _beyond_breaks(looks, guided, slice_mm, settings):
        boxes[index] = None
        support[index] = False
        looks.pop(index, None)
    result = replace(
        guided, cam_logits=guided.cam_logits.copy(), boxes=boxes, support=support, scores=guided.scores.copy()
    )
    if settings.follow_mm > 0:
        for end, direction in _ends(boxes):
            if end in looks:
                _walk(result, looks, end, direction, look_at, slice_mm, size, settings)
    return result


def _beyond_breaks(looks: dict[int, Look], guided: GuidedBoxes, slice_mm: float, settings: FollowSettings) -> list[int]:
    """Slices with a box that lie behind a stretch of doubtful or empty ones, seen from the surest slice."""
    if not looks or settings.break_mm <= 0:
        return []
    organ_hu = _weighted_median([(look.hu, look.area * look.score) for look in looks.values()])
    core = max(looks, key=lambda index: looks[index].area * looks[index].score)
    most = max(1, round(settings.break_mm / slice_mm))
    dropped: list[int] = []
    count = len(guided.boxes)
    for places in (range(core, count), range(core, -1, -1)):
        doubtful: list[int] = []
        broken = False
        for index in places:
            look = looks.get(index)
            if guided.boxes[index] is None:
                continue  # a gap without boxes is the guidance's own business
            if not broken and (look is None or _doubtful(look, guided.cam_logits[index], organ_hu, settings)):
                doubtful.append(index)
                broken = len(doubtful) >= most
            elif not broken:
                doubtful = []
            else:
                dropped.append(index)
        if broken:
            dropped += doubtful
    return dropped


def _doubtful(look: Look, cam_logits: np.ndarray, organ_hu: float, settings: FollowSettings) -> bool:
    factor = len(look.mask) // len(cam_logits)
    cells = look.mask.reshape(len(cam_logits), factor, len(cam_logits), factor).mean((1, 3)) > 0.5
    sure = float(np.median(sigmoid(cam_logits[cells]))) if cells.any() else 0.0
    return abs(look.hu - organ_hu) > settings.doubt_hu and sure < settings.sure_probability


def _ends(boxes: list[NetworkBox | None]) -> list[tuple[int, int]]:
    """(slice, direction) of each place where a box has none beside it."""
    found = []
    for index, box in enumerate(boxes):
        for direction in (-1, 1):
            beside = index + direction
            if box is not None and 0 <= beside < len(boxes) and boxes[beside] is None:
                found.append((index, direction))
    return found


def _walk(
    result: GuidedBoxes,
    looks: dict[int, Look],
    end: int,
    direction: int,
    look_at: LookAt,
    slice_mm: float,
    size: int,
    settings: FollowSettings,
) -> None:
    """Follows the organ from an end, writing into `result` and `looks`."""
    near = max(1, round(20.0 / slice_mm))
    around = [looks[index] for index in range(end - near, end + near + 1) if index in looks]
    local_hu = _weighted_median([(look.hu, look.area * look.score) for look in around])
    least_overlap = settings.least_overlap * min(1.0, _USUAL_SLICE_MM / slice_mm)
    least_area = settings.least_area * (size / 256) ** 2
    before, grid = looks[end], result.cam_logits.shape[-1]
    for number in range(1, max(1, round(settings.follow_mm / slice_mm)) + 1):
        index = end + direction * number
        if not 0 <= index < len(result.boxes) or result.boxes[index] is not None:
            return
        factor = len(before.logits) // grid
        prompt = before.logits.reshape(grid, factor, grid, factor).mean((1, 3)).clip(-_MAP_LIMIT, _MAP_LIMIT)
        look = look_at(index, padded(before.box, 0.05, size), prompt, None)
        if (
            look is None
            or look.area < least_area
            or look.score < settings.least_score
            or abs(look.hu - local_hu) > settings.most_hu
            or _overlap(look.mask, before.mask) < least_overlap
        ):
            return
        looks[index] = before = look
        result.boxes[index] = look.box
        result.cam_logits[index] = prompt
        cells = look.mask.reshape(grid, factor, grid, factor).mean((1, 3)) > 0.3
        result.support[index] = cells
        result.scores[index] = sigmoid(prompt[cells]).mean() if cells.any() else 0.0


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two masks."""
    union = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / max(1, union)


def _weighted_median(pairs: list[tuple[float, float]]) -> float:
    """The value at which half of the weight is reached; pairs of (value, weight)."""
    values, weights = np.array(sorted(pairs), dtype=float).T
    reached = np.cumsum(weights)
    return float(values[int(np.searchsorted(reached, reached[-1] / 2))])
