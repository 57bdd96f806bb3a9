"""Slices mended by what their neighbours show: parts shed that are no part of the organ, parts filled that are.

The guidance sees each slice for itself, and its mistakes come and go along z: a heart in five slices below a dome that
it knows, a left lobe in every second slice. A neighbour's mask says where to look; density and the decoder's own
judgement say whether it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.following.track import Track
from sammix_core.segmentation.slice_look import Look, padded

_ROOM = 0.05
_EDGE = 2  # pixels by which masks of neighbours may differ without a part being more or less
_MOSTLY, _KEPT = 0.5, 0.9

# (track, slice, its look, its neighbour's look, settings) -> the better look and the prompt that it was made from
_Mend = Callable[[Track, int, Look, Look, FollowSettings], tuple[Look, np.ndarray] | None]


def mend_by_neighbours(track: Track, settings: FollowSettings) -> None:
    """Sheds and fills parts, up and down the volume, so that what is right in one slice reaches the next ones.

    Args:
        track: Changed in place.
        settings: The model's settings.
    """
    if not settings.mend:
        return
    for mend in (_shed, _fill):
        for index, beside in _both_ways(len(track.found.boxes)):
            own, other = track.looks.get(index), track.looks.get(beside)
            if own is None or other is None or other.score < settings.donor_score:
                continue
            better = mend(track, index, own, other, settings)
            if better is not None:
                track.take(index, *better)


def _both_ways(count: int) -> Iterator[tuple[int, int]]:
    """(slice, the neighbour visited before it), upwards and then downwards."""
    yield from ((index, index - 1) for index in range(1, count))
    yield from ((index, index + 1) for index in range(count - 2, -1, -1))


def _shed(track: Track, index: int, own: Look, other: Look, settings: FollowSettings) -> tuple[Look, np.ndarray] | None:
    """The slice without a part that the neighbour lacks."""
    common = own.mask & other.mask
    part = _part(own.mask, other.mask, own.area, track, settings)
    if part is None or not common.any():
        return None
    brighter = track.viewer.hu(index, part) - track.viewer.hu(index, common)
    if abs(brighter) <= settings.shed_hu:
        return None
    prompt = np.minimum(track.prompt(own.logits), track.prompt(other.logits))
    look = track.viewer.look(index, padded(other.box, _ROOM, track.size), prompt, None)
    if look is None or _share(part & ~look.mask, part) <= _MOSTLY or _share(common & look.mask, common) <= _KEPT:
        return None
    if brighter > settings.bright_hu:
        sure = look.score >= settings.least_score
    else:
        sure = look.score >= max(settings.sure_score, own.score + settings.shed_rise)
    return (look, prompt) if sure else None


def _fill(track: Track, index: int, own: Look, other: Look, settings: FollowSettings) -> tuple[Look, np.ndarray] | None:
    """The slice with a part that the neighbour has."""
    part = _part(other.mask, own.mask, own.area, track, settings)
    if part is None:
        return None
    box = (
        min(own.box[0], other.box[0]),
        min(own.box[1], other.box[1]),
        max(own.box[2], other.box[2]),
        max(own.box[3], other.box[3]),
    )
    prompt = np.maximum(track.prompt(own.logits), track.prompt(other.logits))
    look = track.viewer.look(index, padded(box, _ROOM, track.size), prompt, None)
    if look is None or look.score < settings.least_score or _share(part & look.mask, part) <= _MOSTLY:
        return None
    new = look.mask & ~own.mask
    differ = abs(track.viewer.hu(index, new) - track.viewer.hu(index, own.mask))
    return (look, prompt) if _share(own.mask & look.mask, own.mask) > _KEPT and differ < settings.fill_hu else None


def _part(more: np.ndarray, less: np.ndarray, area: int, track: Track, settings: FollowSettings) -> np.ndarray | None:
    """What one mask has and the other lacks, edges left out, or None where it is too small to matter."""
    part = ndimage.binary_opening(more & ~ndimage.binary_dilation(less, iterations=_EDGE), iterations=_EDGE)
    least = max(settings.least_area * (track.size / 256) ** 2, settings.part_share * area)
    return part if np.count_nonzero(part) >= least else None


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return int(np.count_nonzero(part)) / int(np.count_nonzero(whole))
