"""Follows the organ past the ends of the guidance's boxes."""

from __future__ import annotations

from sammix_core.masks.overlap import mask_iou
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.following.track import Track
from sammix_core.segmentation.slice_decoder import padded

_REFERENCE_SLICE_MM = 5.0
_NEAR_MM = 20.0
_ROOM = 0.05  # by how much the next slice's organ may be larger than its neighbour's


def follow_ends(track: Track, settings: FollowSettings) -> None:
    """Decodes slices past each end from their neighbour's box and mask, while they show the same organ.

    Weak slices at an end, often a wrong small mark, are decoded again from the last sure one, and keep their mask where
    that fails.

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
    boxes = track.guided.boxes
    ends = []
    for index, of_slice in enumerate(boxes):
        for direction in (-1, 1):
            beside = index + direction
            if of_slice and 0 <= beside < len(boxes) and not boxes[beside]:
                ends.append((index, direction))
    return ends


def _last_sure(track: Track, end: int, direction: int, settings: FollowSettings) -> int | None:
    """The first slice inwards from an end whose mask the decoder is sure of; the end itself where there is none."""
    for number in range(max(1, round(settings.follow_mm / track.slice_mm)) + 1):
        index = end - direction * number
        if not 0 <= index < len(track.guided.boxes) or not track.guided.boxes[index]:
            break
        mask = track.masks.get(index)  # none where the decoder saw nothing in the box: as weak as can be
        if mask is not None and mask.score >= settings.sure_score:
            return index
    return end if end in track.masks else None


def _walk(track: Track, start: int, end: int, direction: int, settings: FollowSettings) -> None:
    local_hu = track.hu_about(start, _NEAR_MM)
    least_overlap = settings.least_overlap * min(1.0, _REFERENCE_SLICE_MM / track.slice_mm)
    least_area = settings.least_area * (track.size / 256) ** 2
    before = track.masks[start]
    last = end + direction * max(1, round(settings.follow_mm / track.slice_mm))
    for index in range(start + direction, last + direction, direction):
        weak = (end - index) * direction >= 0
        if not 0 <= index < len(track.guided.boxes) or (track.guided.boxes[index] and not weak):
            return
        prompt = track.prompt(before.logits)
        mask = track.decoder.decode(index, padded(before.box, _ROOM, track.size), prompt, None)
        if (
            mask is None
            or mask.area < least_area
            or mask.score < settings.least_score
            or abs(mask.hu - local_hu) > settings.most_hu
            or mask_iou(mask.mask, before.mask) < least_overlap
        ):
            return
        current = track.masks.get(index)
        if current is None or current.score < mask.score:
            track.accept(index, mask, prompt)
        before = track.masks[index]
