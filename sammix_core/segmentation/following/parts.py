"""Gives slices the parts of the organ that their neighbours show and they lack.

On many patients the liver is two parts on some slices: the left lobe below the fissure, the tip of the right lobe. The
map can be blind to one of them, or to a slice as a whole. What a neighbour's mask has and a slice lacks, where the
density goes on, gets a box of its own, and the decoder says what is there. The density is compared place by place with
the neighbour's own, smoothed inside its mask: a liver with a giant tumour has two. Parts go on from slice to slice. A
run of them that is small everywhere is a vein that leaves the liver, and one of another density than the liver's own is
the heart or the stomach: both are dropped.

Measured in docs/decisions/parts.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import ndimage

from sammix_core.boxes.network_box import tight_box
from sammix_core.masks.components import label_components
from sammix_core.segmentation.following.density import disc, mean_inside, sd_inside
from sammix_core.segmentation.following.neighbours import both_ways
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.following.track import Track
from sammix_core.segmentation.slice_decoder import NetworkMask

_PASSES = 2
_SMOOTH_MM = 1.5  # sigma in a slice: less noise, and edges stay
_LOCAL_MM = 4.0  # sigma of the neighbour's own density about a place
_EVEN_HU, _EVEN_SD = 20.0, 2.0
_KEPT_SLICES = 64  # smoothed; a quarter of a MB each
_IN_PLACE = 0.5  # share of a run's last mask that the mask beyond it covers where the run closes a gap


@dataclass(frozen=True)
class _Added:
    """A part that a slice got."""

    index: int
    part: NetworkMask


def add_missing_parts(track: Track, settings: FollowSettings) -> None:
    """Adds boxes for missing parts, up and down the volume, so that a part is followed as far as it goes.

    Args:
        track: Changed in place.
        settings: The model's settings.
    """
    if settings.parts and track.masks:
        search = _Search(track, settings)
        for run in _runs(search.run()):
            if search.is_of_organ(run):
                for added in run:
                    track.add_part(added.index, added.part)


class _Search:
    """Looks for missing parts; changes nothing of the track.

    Attributes:
        before: (size, size) bool of each slice, before any part was added.
        masks: Likewise, with the parts that were added.
    """

    def __init__(self, track: Track, settings: FollowSettings) -> None:
        empty = np.zeros((track.size, track.size), dtype=bool)
        masks = track.masks
        self.before = [masks[index].mask if index in masks else empty for index in range(len(track.guided.boxes))]
        self.masks = list(self.before)
        self._track = track
        self._settings = settings
        self._pixels = 1 / track.decoder.pixel_mm  # of a mm
        self._open = disc(settings.missing_open_mm * self._pixels)
        self._rejected: set[tuple[int, tuple[float, ...]]] = set()
        self._smooth = lru_cache(_KEPT_SLICES)(
            lambda index: ndimage.gaussian_filter(track.decoder.hu(index), _SMOOTH_MM * self._pixels)
        )

    def run(self) -> list[_Added]:
        """All parts that were added."""
        added: list[_Added] = []
        for _ in range(_PASSES):
            count = len(added)
            for index, beside in both_ways(len(self.masks)):
                for part in self._missing(index, beside):
                    answer = self._answer(index, part)
                    if answer is not None:
                        self.masks[index] = self.masks[index] | answer.mask
                        added.append(_Added(index, answer))
            if len(added) == count:
                break
        return added

    def is_of_organ(self, run: list[_Added]) -> bool:
        """Whether parts that belong together are the organ: sure, large and as dense, or closing a gap."""
        settings = self._settings
        if max(added.part.score for added in run) < settings.run_score:
            return False
        if _closes_gap(run, self.before):
            return True
        largest = max(added.part.area for added in run) * self._track.decoder.pixel_mm**2
        return largest >= settings.run_mm2 and self._is_as_dense(run)

    def _is_as_dense(self, run: list[_Added]) -> bool:
        median, spread = self._density
        of_run = np.median(np.concatenate([self._smooth(added.index)[added.part.mask] for added in run]))
        return bool(abs(of_run - median) <= max(self._settings.run_hu, self._settings.run_sd * spread))

    @cached_property
    def _density(self) -> tuple[float, float]:
        """Median of the organ's smoothed density and half of what its middle 68 % span, in HU, before parts came."""
        inside = [self._smooth(index)[mask] for index, mask in enumerate(self.before) if mask.any()]
        low, median, high = np.percentile(np.concatenate(inside), (16, 50, 84))
        return float(median), float(high - low) / 2

    def _missing(self, index: int, beside: int) -> Iterator[np.ndarray]:
        """(size, size) bool of each part that a slice's neighbour has, the slice lacks, and whose density goes on."""
        settings = self._settings
        lacking = self.masks[beside] & ~self.masks[index]
        least = settings.missing_mm2 * self._pixels**2
        if np.count_nonzero(lacking) < least:
            return
        expected = mean_inside(self._track.decoder.hu(beside), self.masks[beside], _LOCAL_MM * self._pixels)
        noise = sd_inside(self._smooth(beside) - expected, ndimage.binary_erosion(self.masks[beside], iterations=2))
        alike = np.abs(self._smooth(index) - expected) <= max(settings.missing_hu, settings.missing_sd * noise)
        labels, count = label_components(ndimage.binary_opening(lacking & alike, self._open))
        for number in range(1, count + 1):
            part = labels == number
            if np.count_nonzero(part) >= least:
                yield part

    def _answer(self, index: int, part: np.ndarray) -> NetworkMask | None:
        """What the decoder makes of a part's box, or None where that is something else."""
        settings, box = self._settings, tight_box(part)
        if box is None or (index, box) in self._rejected:
            return None
        answer = self._track.decoder.decode(index, box, None, None)
        if answer is not None and answer.score >= settings.missing_score:
            area = np.count_nonzero(part)
            covered = np.count_nonzero(answer.mask & part) >= settings.missing_cover * area
            here = self._smooth(index)
            noise = sd_inside(here, ndimage.binary_erosion(part))
            even = np.abs(here[answer.mask] - np.median(here[part])) <= max(_EVEN_HU, _EVEN_SD * noise)
            if covered and answer.area < settings.missing_growth * area and even.mean() >= settings.missing_even:
                return answer
        self._rejected.add((index, box))
        return None


def _runs(added: list[_Added]) -> list[list[_Added]]:
    """Parts that overlap on one slice or on neighbouring ones belong together."""
    runs: list[list[_Added]] = []
    for one in added:
        touching = [run for run in runs if any(_touch(one, other) for other in run)]
        runs = [run for run in runs if not any(run is other for other in touching)]
        runs.append([one, *(other for run in touching for other in run)])
    return runs


def _touch(one: _Added, other: _Added) -> bool:
    return abs(one.index - other.index) <= 1 and bool((one.part.mask & other.part.mask).any())


def _closes_gap(run: list[_Added], before: list[np.ndarray]) -> bool:
    """Whether the slices beyond both ends of a run have masks in its place."""
    indices = [added.index for added in run]
    for end, beyond in ((min(indices), min(indices) - 1), (max(indices), max(indices) + 1)):
        if not 0 <= beyond < len(before):
            return False
        last = np.logical_or.reduce([added.part.mask for added in run if added.index == end])
        if np.count_nonzero(before[beyond] & last) < _IN_PLACE * np.count_nonzero(last):
            return False
    return True
