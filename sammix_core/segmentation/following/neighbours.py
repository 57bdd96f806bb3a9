"""Mends slices by their neighbours: sheds parts that are not of the organ, fills parts that are.

The guidance sees each slice by itself, and its mistakes come and go along z: a heart in five slices below a dome that
it knows, a left lobe in every second slice. A neighbour's mask says where to check; density and the decoder's predicted
IoU say whether it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.following.track import Track
from sammix_core.segmentation.slice_decoder import NetworkMask, padded

_ROOM = 0.05
_EDGE = 2  # pixels by which masks of neighbours may differ without a part being more or less
_MOSTLY, _KEPT = 0.5, 0.9

# (track, slice, its mask, its neighbour's mask, settings) -> the better mask and the prompt that it was decoded from
_Mend = Callable[[Track, int, NetworkMask, NetworkMask, FollowSettings], tuple[NetworkMask, np.ndarray] | None]


def mend_by_neighbours(track: Track, settings: FollowSettings) -> None:
    """Sheds and fills parts, up and down the volume, so that what is right in one slice reaches the next ones.

    Args:
        track: Changed in place.
        settings: The model's settings.
    """
    if not settings.mend:
        return
    for mend in (_shed, _fill):
        for index, beside in both_ways(len(track.guided.boxes)):
            mask, donor = track.masks.get(index), track.masks.get(beside)
            if mask is None or donor is None or donor.score < settings.donor_score:
                continue
            mended = mend(track, index, mask, donor, settings)
            if mended is not None:
                better, prompt = mended
                track.accept(index, better, prompt)


def both_ways(count: int) -> Iterator[tuple[int, int]]:
    """(slice, the neighbour visited before it), upwards and then downwards."""
    yield from ((index, index - 1) for index in range(1, count))
    yield from ((index, index + 1) for index in range(count - 2, -1, -1))


def _shed(
    track: Track, index: int, current: NetworkMask, donor: NetworkMask, settings: FollowSettings
) -> tuple[NetworkMask, np.ndarray] | None:
    """The slice without a part that the neighbour lacks."""
    common = current.mask & donor.mask
    part = _part(current.mask, donor.mask, current.area, track, settings)
    if part is None or not common.any():
        return None
    brighter = track.decoder.median_hu(index, part) - track.decoder.median_hu(index, common)
    if abs(brighter) <= settings.shed_hu:
        return None
    prompt = np.minimum(track.prompt(current.logits), track.prompt(donor.logits))
    better = track.decoder.decode(index, padded(donor.box, _ROOM, track.size), prompt, None)
    if better is None or _share(part & ~better.mask, part) <= _MOSTLY or _share(common & better.mask, common) <= _KEPT:
        return None
    if brighter > settings.bright_hu:
        sure = better.score >= settings.least_score
    else:
        sure = better.score >= max(settings.sure_score, current.score + settings.shed_rise)
    return (better, prompt) if sure else None


def _fill(
    track: Track, index: int, current: NetworkMask, donor: NetworkMask, settings: FollowSettings
) -> tuple[NetworkMask, np.ndarray] | None:
    """The slice with a part that the neighbour has."""
    part = _part(donor.mask, current.mask, current.area, track, settings)
    if part is None:
        return None
    box = (
        min(current.box[0], donor.box[0]),
        min(current.box[1], donor.box[1]),
        max(current.box[2], donor.box[2]),
        max(current.box[3], donor.box[3]),
    )
    prompt = np.maximum(track.prompt(current.logits), track.prompt(donor.logits))
    better = track.decoder.decode(index, padded(box, _ROOM, track.size), prompt, None)
    if better is None or better.score < settings.least_score or _share(part & better.mask, part) <= _MOSTLY:
        return None
    added = better.mask & ~current.mask
    difference = abs(track.decoder.median_hu(index, added) - track.decoder.median_hu(index, current.mask))
    kept = _share(current.mask & better.mask, current.mask) > _KEPT
    return (better, prompt) if kept and difference < settings.fill_hu else None


def _part(more: np.ndarray, less: np.ndarray, area: int, track: Track, settings: FollowSettings) -> np.ndarray | None:
    """What one mask has and the other lacks, without the edges, or None where it is too small to matter."""
    part = ndimage.binary_opening(more & ~ndimage.binary_dilation(less, iterations=_EDGE), iterations=_EDGE)
    least = max(settings.least_area * (track.size / 256) ** 2, settings.part_share * area)
    return part if np.count_nonzero(part) >= least else None


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return int(np.count_nonzero(part)) / int(np.count_nonzero(whole))
