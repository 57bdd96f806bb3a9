"""The organ followed past the ends of what was found."""

from __future__ import annotations

from sammix_core.masks.overlap import mask_iou
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.following.track import Track
from sammix_core.segmentation.slice_look import padded

_USUAL_SLICE_MM = 5.0
_NEAR_MM = 20.0
_ROOM = 0.05  # by how much the next slice's organ may be larger than its neighbour's


def follow_ends(track: Track, settings: FollowSettings) -> None:
    """Decodes slices past each end from their neighbour's box and mask, while they show the same organ.

    Weak slices at an end, often a wrong small mark, are looked at anew from the last sure one, and keep what they have
    where that fails.

    Args:
        track: Changed in place.
        settings: The model's settings.
    """
    if settings.follow_mm <= 0:
        return
    for end, direction in _ends(track):
        start = _last_sure(track, end, direction, settings)
        if start is not None:
            _walk(track, start, end, direction, settings)


def _ends(track: Track) -> list[tuple[int, int]]:
    """(slice, direction) of each place where a box has none beside it."""
    boxes = track.found.boxes
    found = []
    for index, box in enumerate(boxes):
        for direction in (-1, 1):
            beside = index + direction
            if box is not None and 0 <= beside < len(boxes) and boxes[beside] is None:
                found.append((index, direction))
    return found


def _last_sure(track: Track, end: int, direction: int, settings: FollowSettings) -> int | None:
    """The first slice inwards from an end whose mask the decoder is sure of; the end itself where there is none."""
    for number in range(max(1, round(settings.follow_mm / track.slice_mm)) + 1):
        index = end - direction * number
        if not 0 <= index < len(track.found.boxes) or track.found.boxes[index] is None:
            break
        look = track.looks.get(index)  # none where the decoder saw nothing in the box: as weak as can be
        if look is not None and look.score >= settings.sure_score:
            return index
    return end if end in track.looks else None


def _walk(track: Track, start: int, end: int, direction: int, settings: FollowSettings) -> None:
    local_hu = track.hu_about(start, _NEAR_MM)
    least_overlap = settings.least_overlap * min(1.0, _USUAL_SLICE_MM / track.slice_mm)
    least_area = settings.least_area * (track.size / 256) ** 2
    before = track.looks[start]
    last = end + direction * max(1, round(settings.follow_mm / track.slice_mm))
    for index in range(start + direction, last + direction, direction):
        weak = (end - index) * direction >= 0
        if not 0 <= index < len(track.found.boxes) or (track.found.boxes[index] is not None and not weak):
            return
        prompt = track.prompt(before.logits)
        look = track.viewer.look(index, padded(before.box, _ROOM, track.size), prompt, None)
        if (
            look is None
            or look.area < least_area
            or look.score < settings.least_score
            or abs(look.hu - local_hu) > settings.most_hu
            or mask_iou(look.mask, before.mask) < least_overlap
        ):
            return
        own = track.looks.get(index)
        if own is None or own.score < look.score:
            track.take(index, look, prompt)
        before = track.looks[index]
