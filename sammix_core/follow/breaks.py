"""Where the organ ends because something of another density begins."""

from __future__ import annotations

import numpy as np

from sammix_core.follow.settings import FollowSettings
from sammix_core.follow.track import Track, typical_hu
from sammix_core.guidance.boxes_from_cam import sigmoid
from sammix_core.slice_look import Look


def drop_beyond_breaks(track: Track, settings: FollowSettings) -> None:
    """Drops slices that lie behind a stretch of doubtful or empty ones, seen from the surest slice, and the stretch.

    Args:
        track: Changed in place.
        settings: The model's settings.
    """
    if not track.looks or settings.break_mm <= 0:
        return
    looks, boxes = track.looks, track.found.boxes
    organ_hu = typical_hu(looks.values())
    core = max(looks, key=lambda index: looks[index].area * looks[index].score)
    most = max(1, round(settings.break_mm / track.slice_mm))
    dropped: list[int] = []
    for places in (range(core, len(boxes)), range(core, -1, -1)):
        doubtful: list[int] = []
        broken = False
        for index in places:
            if boxes[index] is None:
                continue  # a gap without boxes is the guidance's own business
            look = looks.get(index)
            if not broken and (look is None or _doubtful(track, look, index, organ_hu, settings)):
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


def _doubtful(track: Track, look: Look, index: int, organ_hu: float, settings: FollowSettings) -> bool:
    inside = track.cells(look.mask) > 0.5
    sure = float(np.median(sigmoid(track.found.cam_logits[index][inside]))) if inside.any() else 0.0
    return abs(look.hu - organ_hu) > settings.doubt_hu and sure < settings.sure_probability
