"""Which axis of an array runs from the feet to the head, seen from the body alone, where a file does not say it.

The body goes through the first and the last axial slice, and it ends before the sides, the front and the back of the
scan. In a slice it is wider than deep. Which way round it lies is left to the segmentation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

_BODY_HU = -300
_SIDE = 128

# How much of the largest section the outermost ones are. In 21 CT: from 0.54 on along the patient, up to 0.14 across.
_LEAST_ALONG, _MOST_ACROSS = 0.4, 0.25
_END_SHARE = 1 / 40

# Width by depth of a section: 1.09 to 1.92 in the same CT.
_CLEARLY_WIDER = 1.15

_OTHER_AXES = (
    "By the outline of the body, the file's {axis} axis runs along the patient, so axial slices were cut across it; "
    "check the result in the viewer."
)
_UNCERTAIN = (
    "The images do not show for certain which axis of the file runs along the patient, so its slices were taken as "
    "axial; check the result in the viewer."
)


def with_patient_axes(volume: Volume) -> Volume:
    """Looks for the axial slices of a volume whose file does not say how the patient lies in it.

    Args:
        volume: The CT.

    Returns:
        The volume with its `found_order` and a note on it; as it is where the file states the orientation, or where the
        slices are axial already.
    """
    if volume.spacing_known and volume.orientation_known:
        return volume
    body = _coarse_body(volume.array)
    along = _axis_along_patient(body)
    if along is None:
        return replace(volume, notes=(*volume.notes, _UNCERTAIN))
    stated = volume.axial_order
    rows, cols = (axis for axis in stated.axes if axis != along)
    if _width_by_depth(body, along, rows, cols, volume) < 1 / _CLEARLY_WIDER:
        rows, cols = cols, rows
    if (along, rows, cols) == stated.axes:
        return volume
    order = AxialOrder((along, rows, cols), (False, False, False))
    notes = (*volume.notes, *([_OTHER_AXES.format(axis="ijk"[along])] if along != stated.axes[0] else []))
    return replace(volume, found_order=order, notes=notes)


def _coarse_body(array: np.ndarray) -> np.ndarray:
    """(i, j, k) bool, at most about `_SIDE` along each axis."""
    k, j, i = (max(1, size // _SIDE) for size in array.shape)
    return np.asarray(array[::k, ::j, ::i] > _BODY_HU).transpose(2, 1, 0)


def _axis_along_patient(body: np.ndarray) -> int | None:
    """The axis at both ends of which the body goes on, if there is exactly one and it ends along the others."""
    ends = [_least_end(body, axis) for axis in range(3)]
    along = [axis for axis in range(3) if ends[axis] >= _LEAST_ALONG]
    if len(along) != 1 or any(ends[axis] > _MOST_ACROSS for axis in range(3) if axis != along[0]):
        return None
    return along[0]


def _least_end(body: np.ndarray, axis: int) -> float:
    """The section at the emptier end of an axis, as a share of the largest sections."""
    sections = body.mean(axis=tuple(other for other in range(3) if other != axis))
    largest = float(np.sort(sections)[-max(1, len(sections) // 4) :].mean())
    if largest == 0:
        return 0.0
    count = max(1, round(len(sections) * _END_SHARE))
    return min(float(sections[:count].mean()), float(sections[-count:].mean())) / largest


def _width_by_depth(body: np.ndarray, along: int, rows: int, cols: int, volume: Volume) -> float:
    """The body's size along `cols` by that along `rows`, the median of its sections."""
    shape = volume.array.shape[::-1]
    ratios = []
    for section in np.moveaxis(body, (along, rows, cols), (0, 1, 2)):
        deep, wide = (_extent(section.any(axis)) for axis in (1, 0))
        if deep and wide:
            width = wide * shape[cols] / body.shape[cols] * volume.spacing[cols]
            ratios.append(width / (deep * shape[rows] / body.shape[rows] * volume.spacing[rows]))
    return float(np.median(ratios)) if ratios else 1.0


def _extent(line: np.ndarray) -> int:
    places = np.flatnonzero(line)
    return int(places[-1] - places[0] + 1) if len(places) else 0
