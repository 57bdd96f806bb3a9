"""Carries the correction of a slice up and down the volume, until little changes or a person's own slice comes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice

import numpy as np

from sammix_core.segmentation.carrying.step import CarrySettings, Change, carried, interpolated
from sammix_core.segmentation.carrying.views import SliceViews

# Network pixels: between two corrected slices edges are blended, and whole parts are those of the nearer slice; thin
# slices between two are close to both, and edges move.
_BLENDED, _MOVED = 2.0, 6.0


class Carrier:
    """Computes what a correction changes on other slices; indices are canonical.

    Args:
        views: The slices.
        settings: How far and how readily.
    """

    def __init__(self, views: SliceViews, settings: CarrySettings) -> None:
        self._views = views
        self._settings = settings
        self._reach = max(1, int(settings.reach_mm / views.slice_mm))

    def most(self, index: int) -> int:
        """How many slices a correction may reach at most."""
        return sum(1 for direction in (1, -1) for _ in self._free(index, direction))

    def run(self, index: int) -> Generator[tuple[int, np.ndarray]]:
        """Yields each slice that the correction of one reaches, with its mask, nearest ones first on either side.

        Where a slice of the person's own comes next, its correction is carried back, and the slices between follow a
        second time, blended from both.

        Args:
            index: The corrected slice.

        Yields:
            The slice and its mask, (size, size) bool in the network's frame.
        """
        for direction in (1, -1):
            outward: dict[int, np.ndarray] = {}
            for at, mask in self._walk(index, direction):
                outward[at] = mask
                yield at, mask
            end = self._persons_from(index, direction)
            if end is None:
                continue
            inward = dict(self._walk(end, -direction))
            for at in range(index + direction, end, direction):
                if at in outward or at in inward:
                    own = self._views.mask(at)
                    share = (at - index) / (end - index)
                    yield at, interpolated(outward.get(at, own), inward.get(at, own), share, _BLENDED)

    def _walk(self, start: int, direction: int) -> Generator[tuple[int, np.ndarray]]:
        """One slice after the other; thin ones between two are interpolated from these."""
        views = self._views
        change, at = views.correction(start), start
        step = max(1, int(self._settings.step_mm / views.slice_mm))
        while (next_one := self._next(start, at, direction, step)) is not None:
            after = carried(change, views.hu(at), views.view(next_one), views.pixels, self._settings)
            moved = Change(views.mask(next_one), after)
            if not moved.everything.any() and not views.is_carried(next_one):
                if abs(next_one - at) == 1:
                    return
                step = max(1, abs(next_one - at) // 2)  # it ends between the two
                continue
            yield next_one, after
            for between in range(at + direction, next_one, direction):
                share = (between - at) / (next_one - at)
                yield between, self._between(between, change, moved, share)
            change, at = moved, next_one

    def _between(self, index: int, first: Change, second: Change, share: float) -> np.ndarray:
        """A thin slice between two: its own mask, but where these changed it follows them."""
        near = first.everything | second.everything
        return np.where(near, interpolated(first.after, second.after, share, _MOVED), self._views.mask(index))

    def _next(self, start: int, at: int, direction: int, step: int) -> int | None:
        """The next slice to segment: the furthest within a step of `at` that is encoded, or the furthest."""
        within = list(islice(self._free(start, direction, at), step))
        encoded = [index for index in within if self._views.is_encoded(index)]
        return next(reversed(encoded or within), None)

    def _free(self, start: int, direction: int, at: int | None = None) -> Iterator[int]:
        """The slices on one side of `at`, of `start` by default, up to the reach or to a person's slice."""
        last = start + direction * self._reach
        for index in range((start if at is None else at) + direction, last + direction, direction):
            if not 0 <= index < self._views.count or self._views.is_persons(index):
                return
            yield index

    def _persons_from(self, start: int, direction: int) -> int | None:
        """The next slice of the person's own within reach."""
        *_, last = start, *self._free(start, direction)
        beyond = last + direction
        within = abs(beyond - start) <= self._reach and 0 <= beyond < self._views.count
        return beyond if within else None
