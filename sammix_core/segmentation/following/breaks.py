"""Finds where the organ ends because something of another density begins."""

from __future__ import annotations

from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.following.track import Track

_CORE_MM = 30.0  # to either side of the surest slice


def drop_beyond_breaks(track: Track, settings: FollowSettings) -> None:
    """Drops slices that lie behind a stretch of doubtful or empty ones, seen from the surest slice, and the stretch.

    Args:
        track: Changed in place.
        settings: The model's settings.
    """
    if not track.masks or settings.break_mm <= 0:
        return
    masks, boxes = track.masks, track.guided.boxes
    core = max(masks, key=track.weight)
    # An organ has one density, which the masks near the surest slice tell; those further off do not count.
    organ_hu = track.hu_about(core, _CORE_MM)
    most = max(1, round(settings.break_mm / track.slice_mm))
    dropped: list[int] = []
    for indices in (range(core, len(boxes)), range(core, -1, -1)):
        doubtful: list[int] = []
        broken = False
        for index in indices:
            if not boxes[index]:
                continue  # a gap without boxes is for the guidance to judge
            if not broken and (index not in masks or _doubtful(track, index, organ_hu, settings)):
                doubtful.append(index)
                broken = len(doubtful) >= most
            elif not broken:
                doubtful = []
            else:
                dropped.append(index)
        if broken:
            dropped += doubtful
    for index in dropped:
        track.drop(index)


def _doubtful(track: Track, index: int, organ_hu: float, settings: FollowSettings) -> bool:
    strange = abs(track.masks[index].hu - organ_hu) > settings.doubt_hu
    return strange and track.sureness(index) < settings.sure_probability
