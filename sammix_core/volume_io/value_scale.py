"""Whether numbers are Hounsfield units, judged by the groups of values that every body has.

Air lies near -1000, fat near -90, muscle and organs between 20 and 200, and hardly a voxel is denser than 300. A
rescale in the header or a few negative values prove nothing: the one may be wrong, and the others padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# What scanners add to keep their numbers above 0 when they store them unsigned in 12 bits.
UNSIGNED_OFFSET = 1024
# What Hounsfield units are divided by when someone wants numbers near 1.
DIVIDED_BY = 1000

# Stored numbers beyond this are padding or metal; they are counted at the end of the histogram.
_LIMIT = 12_000
_LARGEST_OFFSET = 9_000
_OFFSET_STEP = 16

# A single value with more than this share of the voxels, and far more than its neighbours, is padding or clipping.
_SPIKE_SHARE = 0.01
_SPIKE_RATIO = 5.0
_SPIKE_NEIGHBOURS = 4

# In 22 CT of chest and abdomen the fat peak lies between -106 and -74 HU.
_FAT_PEAK_HU = -92
_PEAK_TOLERANCE_HU = 55
_PEAK_SPACING_HU = (90, 290)

# Less fat than this is none. Livers and spleens with contrast reach 200 HU.
_LEAST_FAT_SHARE = 0.02
_HIGHEST_TISSUE_HU = 215

# Air that lies at another place is looked for this far away, and must be this narrow and this much.
_AIR_SEARCH_HU = 330
_AIR_WIDTH_HU = 30
_AIR_SHARE = 0.25
# There lung can be as narrow a group, in a view without air.
_LUNG_HU = range(-960, -700)

# Where the peak of soft tissue lies after 1000 or 1024 was subtracted, and up to where that of air does.
_CUT_PEAK = (-1022, -780)
_HIGHEST_AIR = -980
_CUT_SMOOTHING = 13
_LEAST_SHARE_OF_CUT = 0.02

# Offsets smaller than this are left to the peaks: the shares of the groups do not resolve them.
_SMALLEST_OFFSET_BY_SHARES = 150
# From this offset on lung can look like a body.
_LARGEST_OFFSET_WITHOUT_AIR = 600


@dataclass(frozen=True)
class Scale:
    """How numbers become Hounsfield units: `number * factor - offset`.

    Attributes:
        offset: What to subtract; for `certain` scales 0, 1024 or -1024.
        factor: What to multiply with first, 1 or 1000.
        certain: Whether the numbers prove it. Otherwise `offset` is an estimate to tell the
            user, and 0 where there is none.
        is_cut_off: Whether what is lighter than soft tissue was cut off before, so that no rescale brings it back.
    """

    offset: int = 0
    factor: int = 1
    certain: bool = True
    is_cut_off: bool = False

    @property
    def is_hounsfield(self) -> bool:
        """Whether the numbers are Hounsfield units as they are."""
        return self.certain and self.offset == 0 and self.factor == 1


def scale_of(sample: np.ndarray) -> Scale | None:
    """Judges by the groups of values of a body.

    Args:
        sample: (n,) finite numbers, evenly spread over a volume.

    Returns:
        The scale, or None where the numbers have no body's groups, on no scale: then they prove nothing.
    """
    if np.percentile(np.abs(sample), 99.9) < _LIMIT / DIVIDED_BY:
        enlarged = _Values.of(sample * DIVIDED_BY)
        proven = enlarged.is_body(0) and enlarged.has_air_at(-1000)
        return Scale(0, DIVIDED_BY) if proven else Scale(certain=False)
    values = _Values.of(sample)
    if values.is_cut_off():
        return Scale(-UNSIGNED_OFFSET, certain=False, is_cut_off=True)
    for offset in (UNSIGNED_OFFSET, 0, -UNSIGNED_OFFSET):
        if values.is_body(offset) if offset else values.may_be_body():
            if values.has_air_at(offset - 1000):
                return Scale(offset)
            by_peaks = values.offset_by_peaks(offset)
            is_other = by_peaks is not None and abs(by_peaks - offset) > _PEAK_TOLERANCE_HU
            if by_peaks is not None and is_other and values.has_air_at(by_peaks - 1000):
                return Scale(by_peaks, certain=False)
            if not values.has_fat(offset) and (is_other or values.highest_peak(offset) > _HIGHEST_TISSUE_HU):
                return Scale(certain=False)
            air = values.air_elsewhere(offset)
            if air is None or (by_peaks is not None and air - offset in _LUNG_HU):
                return Scale(offset)
            return Scale(air + 1000, certain=False)
    offsets = range(-_LARGEST_OFFSET, _LARGEST_OFFSET + 1, _OFFSET_STEP)
    fitting = [offset for offset in offsets if abs(offset) >= _SMALLEST_OFFSET_BY_SHARES and values.is_body(offset)]
    if fitting:
        offset = max(fitting, key=values.hill)
        by_peaks = values.offset_by_peaks(offset)
        offset = offset if by_peaks is None else by_peaks
        if values.has_air_at(offset - 1000):
            return Scale(offset, certain=False)
        if abs(offset) < _LARGEST_OFFSET_WITHOUT_AIR or not values.has_air_at(-1000, padding=False):
            return Scale(certain=False)
    return None


@dataclass(frozen=True)
class _Values:
    """Histograms with one bin a number, -`_LIMIT` to `_LIMIT`: of all numbers, and without padding and clipping."""

    counts: np.ndarray
    all_counts: np.ndarray

    @classmethod
    def of(cls, sample: np.ndarray) -> _Values:

        numbers = np.rint(np.clip(sample, -_LIMIT, _LIMIT)).astype(np.int64) + _LIMIT
        counts = np.bincount(numbers, minlength=2 * _LIMIT + 1)
        width = 2 * _SPIKE_NEIGHBOURS + 1
        neighbours = (np.convolve(counts, np.ones(width), mode="same") - counts) / (width - 1)
        spikes = (counts > _SPIKE_SHARE * sample.size) & (counts > _SPIKE_RATIO * neighbours)
        spikes[[0, -1]] = True
        return cls(np.where(spikes, 0, counts), counts)

    @cached_property
    def _sums(self) -> np.ndarray:
        return np.append(0, np.cumsum(self.counts))

    @cached_property
    def _all_sums(self) -> np.ndarray:
        return np.append(0, np.cumsum(self.all_counts))

    def _count(self, low: float, high: float) -> int:
        """How many numbers are in [low, high], without padding."""
        return _between(self._sums, low, high)

    def _dense(self, offset: int) -> int:
        """How many are denser than lung."""
        return self._count(offset - 400, _LIMIT)

    def _share(self, offset: int, low: int, high: int) -> float:
        """The share of what is denser than lung that lies in [low, high] HU."""
        return self._count(offset + low, offset + high) / max(1, self._dense(offset))

    def hill(self, offset: int) -> float:
        """The share of what is denser than lung that is fat or soft tissue, if `offset` was added."""
        return self._share(offset, -150, 250)

    def is_body(self, offset: int) -> bool:
        """Whether the numbers can only be a body's with `offset` added.

        In CT of the trunk 86 to 97 % of what is denser than lung is fat or soft tissue, up to 6 % lies in the valley
        below it, and up to 8 % is denser. At a wrong offset air or bone lies there, which has other neighbours.
        """
        return (
            self._dense(offset) >= 0.004 * max(1, self._sums[-1])
            and self.hill(offset) >= 0.8
            and self._share(offset, -399, -151) <= 0.13
            and self._share(offset, 301, 2 * _LIMIT) <= 0.1
            and self._share(offset, -150, -20) >= 0.02
            and self._share(offset, -20, 200) >= 0.15
        )

    def may_be_body(self) -> bool:
        """Whether the numbers as they are can be a body's; wider than `is_body`, since most files are right."""
        return (
            self._dense(0) >= 0.004 * max(1, self._sums[-1])
            and self.hill(0) >= 0.7
            and self._share(0, -399, -151) <= 0.2
            and self._share(0, 301, 2 * _LIMIT) <= 0.2
            and self._share(0, -20, 200) >= 0.15
        )

    def is_cut_off(self) -> bool:
        """Whether these are Hounsfield units less about 1024, with everything cut off that was lighter than water then.

        Soft tissue lies near the place of air then, and hardly anything where a body should be. It is not air: its peak
        lies higher, or what was cut off fills a single value below, and it is not as narrow as the noise of air.
        """
        count = self._sums[-1]
        smooth = np.convolve(self.counts, np.ones(_CUT_SMOOTHING), mode="same")
        peak = int(np.argmax(smooth)) - _LIMIT
        if (
            count < _LEAST_SHARE_OF_CUT * self._all_sums[-1]
            or not _CUT_PEAK[0] <= peak <= _CUT_PEAK[1]
            or self._count(-1060, -750) < 0.6 * count
            or self._count(-200, _LIMIT) > 0.05 * count
            or self._count(-_LIMIT, -1061) > 0.01 * count
        ):
            return False
        cut_off = _between(self._all_sums, -1060, peak) - self._count(-1060, peak)
        return peak > _HIGHEST_AIR or bool(
            cut_off >= 0.1 * self._all_sums[-1] and self._count(peak + 60, _LIMIT) >= 0.05 * count
        )

    def has_air_at(self, number: int, padding: bool = True) -> bool:
        """Whether there is a narrow group of numbers about this one, as scanners measure air.

        Args:
            number: Where.
            padding: Whether a single value counts, as tools write it.
        """
        sums = self._all_sums if padding else self._sums
        near = _between(sums, number - 45, number + 45)
        beside = _between(sums, number - 135, number - 46) + _between(sums, number + 46, number + 135)
        return near >= 0.02 * max(1, sums[-1]) and near > beside

    def air_elsewhere(self, offset: int) -> int | None:
        """Where a narrow group of a quarter of all numbers or more lies near the place of air, which is not its place.

        Lung has such a place, too, but its numbers spread widely.
        """
        first = offset - 1000 - _AIR_SEARCH_HU + _LIMIT
        sums = self._all_sums[first : first + 2 * _AIR_SEARCH_HU]
        within = sums[2 * _AIR_WIDTH_HU :] - sums[: -2 * _AIR_WIDTH_HU]
        densest = int(np.argmax(within))
        air = densest + _AIR_WIDTH_HU + first - _LIMIT
        if within[densest] < _AIR_SHARE * self._all_sums[-1] or abs(air - (offset - 1000)) < _PEAK_TOLERANCE_HU:
            return None
        return air

    def offset_by_peaks(self, offset: int) -> int | None:
        """The offset by the peak of fat, which lies below that of muscle; None where there are no two such peaks.

        Args:
            offset: Where to look for them.
        """
        # Here, since Slicer imports this before scipy is installed.
        from scipy import signal

        smooth = self._smooth(offset)
        places, _ = signal.find_peaks(smooth, prominence=0.08 * max(1.0, smooth.max()))
        if len(places) < 2:
            return None
        fat = int(places[0]) - 300
        spacing = int(places[1] - places[0])
        if not _PEAK_SPACING_HU[0] <= spacing <= _PEAK_SPACING_HU[1]:
            return None
        return offset + fat - _FAT_PEAK_HU

    def highest_peak(self, offset: int) -> int:
        """The HU that most of the soft tissue has, if `offset` was added."""
        return int(np.argmax(self._smooth(offset))) - 300

    def _smooth(self, offset: int) -> np.ndarray:
        """(800,): how many have about -300 to 499 HU, if `offset` was added."""
        from scipy import ndimage

        low = offset - 300 + _LIMIT
        return ndimage.gaussian_filter1d(self.counts[low : low + 800].astype(float), 12)

    def has_fat(self, offset: int) -> bool:
        """Whether there is any fat, if `offset` was added; in views of real CT without air it is 5 % or more."""
        return self._share(offset, -150, -20) >= _LEAST_FAT_SHARE


def _between(sums: np.ndarray, low: float, high: float) -> int:
    """How many numbers lie in [low, high], by the sums of a histogram of `_Values`."""
    first, last = (min(max(int(edge), -_LIMIT), _LIMIT) + _LIMIT for edge in (low, high))
    return int(sums[last + 1] - sums[first])
