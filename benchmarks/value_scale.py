"""Tries whether SAMMix notices that a CT is not in Hounsfield units, on real CT in every kind of part.

    python benchmarks/value_scale.py [--data ../shared/data] [--only REGEX]

Each CT of the folder is taken whole, as slabs of five slices, cut to fields of view within the body, and without the
air round the patient. Each part is changed in every way that is known from hospitals and from public bug reports:
another offset with any fill, an intercept that is missing, wrong or applied twice, values clipped or divided; and in
ways that leave a CT good. What the reading made of it goes into `value_scale.json`, and into docs/results.md by
`results_table.py`. A case takes some seconds; nothing is segmented.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from scipy import ndimage

from sammix_core.files import write_text_atomic
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.hounsfield import NotHounsfieldError, to_volume
from sammix_core.volume_io.raw_image import RawImage

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).with_suffix(".json")

# An offset up to this is left to the eye: it moves fat and liver by less than patients differ.
UNSEEN_HU = 60
_SLAB_SLICES = 5
# What the file says of itself only counts where the values decide nothing, so that two parts are enough.
_AS_DICOM = ("whole", "view of the liver")
# Larger slices are taken with every second pixel, since the judgement samples them anyway.
_LARGEST_SIDE = 256
_GEOMETRY = ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))


class Outcome(StrEnum):
    """What the reading made of a part."""

    RIGHT = "right"
    REFUSED = "refused"
    SMALL = "off by less than 60 HU"
    WRONG = "wrong without a word"


@dataclass(frozen=True)
class Change:
    """A way to store a CT.

    Attributes:
        stored: (k, j, i) int16 HU -> what the file holds.
        restored: HU -> what a reader that gets it right has; the HU themselves where it is None.
        is_good: Whether the stored values are Hounsfield units, so that a refusal is a fault.
        offset: What lies between the stored values and HU, where they are only shifted.
    """

    stored: Callable[[np.ndarray], np.ndarray]
    restored: Callable[[np.ndarray], np.ndarray] | None = None
    is_good: bool = False
    offset: int = 0


def _outside_circle(shape: tuple[int, ...]) -> np.ndarray:
    """(j, i) bool: outside the scan circle."""
    rows, cols = np.ogrid[-1 : 1 : 1j * shape[1], -1 : 1 : 1j * shape[2]]
    return np.hypot(rows, cols) > 1


def _padded(hu: np.ndarray, offset: int, fill: int, dtype: type = np.int16) -> np.ndarray:
    stored = (np.maximum(hu, -1024).astype(np.int32) + offset).astype(dtype)
    stored[:, _outside_circle(hu.shape)] = fill
    return stored


def _good(stored: Callable[[np.ndarray], np.ndarray]) -> Change:
    return Change(stored, stored, is_good=True)


def _shifted(offset: int, fill: int | None = None) -> Change:
    def stored(hu: np.ndarray) -> np.ndarray:
        if fill is None:
            return (np.clip(hu, -1024, 3071).astype(np.int32) + offset).astype(np.int32)
        return _padded(hu, offset, fill)

    return Change(stored, lambda hu: stored(hu) - offset, offset=offset)


def _clipped_low(hu: np.ndarray, offset: int, lowest: int) -> np.ndarray:
    return np.maximum(hu.astype(np.int32) + offset, lowest).astype(np.int16)


CHANGES = {
    "as it is": _good(lambda hu: hu),
    "floats": _good(lambda hu: hu.astype(np.float32) + np.float32(0.25)),
    "fill -2000": _good(lambda hu: _padded(hu, 0, -2000)),
    "fill -2048": _good(lambda hu: _padded(hu, 0, -2048)),
    "fill -3024": _good(lambda hu: _padded(hu, 0, -3024)),
    "fill -32768": _good(lambda hu: _padded(hu, 0, -32768)),
    "fill 0": _good(lambda hu: _padded(hu, 0, 0)),
    "clipped to [-1000, 1000]": _good(lambda hu: np.clip(hu, -1000, 1000)),
    "clipped to [-160, 240]": _good(lambda hu: np.clip(hu, -160, 240)),
    "clipped to [-200, 300]": _good(lambda hu: np.clip(hu, -200, 300)),
    "HU + 1024": _shifted(1024),
    **{f"HU + 1024, fill {fill}": _shifted(1024, fill) for fill in (-2000, -1024, -1000, -500, 0)},
    "HU + 1000": _shifted(1000),
    "HU + 24": _shifted(24),
    "HU + 200": _shifted(200),
    "HU + 512": _shifted(512),
    "HU + 2048": _shifted(2048),
    "HU + 7168": _shifted(7168),
    "HU - 1024": _shifted(-1024),
    **{f"HU - 1024, fill {fill}": _shifted(-1024, fill) for fill in (-2048, -1024, 0)},
    "HU - 1024, clipped at -1024": Change(lambda hu: _clipped_low(hu, -1024, -1024)),
    "HU - 1024, clipped at -1000": Change(lambda hu: _clipped_low(hu, -1024, -1000)),
    "HU - 1000, clipped at -1024": Change(lambda hu: _clipped_low(hu, -1000, -1024)),
    "HU - 200": _shifted(-200),
    "HU - 512": _shifted(-512),
    "HU / 1000": Change(lambda hu: hu / np.float32(1000)),
    "HU / 1000, clipped at -1": Change(
        lambda hu: np.maximum(hu, -1000) / np.float32(1000), lambda hu: np.maximum(hu, -1000)
    ),
}


def body_of(axial: np.ndarray) -> np.ndarray:
    """(slices, rows, cols) bool: the patient without the table."""
    body = np.zeros(axial.shape, bool)
    for index, image in enumerate(axial):
        labels, count = ndimage.label(ndimage.binary_opening(image > -300, iterations=2))
        if count:
            largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
            body[index] = ndimage.binary_fill_holes(labels == largest)
    return body


def parts(axial: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Parts of a CT in canonical axial order, by name."""
    yield "whole", axial
    count = len(axial)
    for name, share in (("uppermost", 1.0), ("upper", 0.75), ("middle", 0.5), ("lower", 0.25), ("lowest", 0.0)):
        first = round(share * (count - _SLAB_SLICES))
        yield f"5 {name} slices", axial[first : first + _SLAB_SLICES]
    body = body_of(axial)
    rows, cols = (np.flatnonzero(body.any((0, other))) for other in (2, 1))
    for name, share in (("view of half the body", 0.5), ("view of a third of the body", 0.33)):
        (top, bottom), (left, right) = (
            (round(side[0] + (0.5 - share / 2) * len(side)), round(side[0] + (0.5 + share / 2) * len(side)))
            for side in (rows, cols)
        )
        yield name, np.ascontiguousarray(axial[:, top:bottom, left:right])
    # The right front quarter: liver, lung and bowel, but no air round the body.
    top, bottom = (round(rows[0] + share * len(rows)) for share in (0.2, 0.7))
    left, right = (round(cols[0] + share * len(cols)) for share in (0.12, 0.55))
    yield "view of the liver", np.ascontiguousarray(axial[:, top:bottom, left:right])
    yield "air set to -1000", np.where(body, axial, np.int16(-1000))
    yield "cut to the body", np.ascontiguousarray(axial[:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1])


def outcome_of(hu: np.ndarray, change: Change, from_dicom: bool) -> Outcome:
    """Stores a part, reads it, and compares."""
    stored = change.stored(hu)
    raw = RawImage(stored, *_GEOMETRY, said_to_be_ct=from_dicom, rescale_stated=from_dicom)
    try:
        volume = to_volume(raw, "the CT")
    except NotHounsfieldError:
        return Outcome.REFUSED
    expected = hu if change.restored is None else change.restored(hu)
    middle = slice(len(hu) // 2, len(hu) // 2 + 1)
    inside = ~_outside_circle(hu.shape)
    error = np.abs(volume.array[middle, inside].astype(np.float32) - expected[middle, inside])
    if error.max() < 1:
        return Outcome.RIGHT
    return Outcome.SMALL if np.median(error) <= UNSEEN_HU and change.offset else Outcome.WRONG


def measure(data: Path, only: str) -> list[dict[str, str | bool]]:
    """One row a case, part, change and kind of file."""
    rows: list[dict[str, str | bool]] = []
    paths = [*sorted(data.glob("*_ct.nii.gz")), *sorted(data.glob("*dicom*/"))]
    for path in paths:
        case = path.name.removesuffix(".nii.gz").removesuffix("_ct")
        if not re.search(only, case):
            continue
        volume = read_volume(path)
        axial = volume.axial_order.forward(volume.array).astype(np.int16)
        if axial.shape[1] > _LARGEST_SIDE:
            axial = np.ascontiguousarray(axial[:, ::2, ::2])
        for part, hu in parts(axial):
            for name, change in CHANGES.items():
                for from_dicom in (False, True) if part in _AS_DICOM else (False,):
                    outcome = outcome_of(hu, change, from_dicom)
                    rows.append({"case": case, "part": part, "change": name, "dicom": from_dicom, "outcome": outcome})
        print(case, dict(Counter(row["outcome"] for row in rows if row["case"] == case)), flush=True)
    return rows


def summary(rows: list[dict[str, str | bool]]) -> dict[str, object]:
    """Counts by change, and everything that a good CT was refused for or that was wrong, by name."""
    counts = {
        name: {outcome.value: sum(r["change"] == name and r["outcome"] == outcome for r in rows) for outcome in Outcome}
        for name in CHANGES
    }
    faults = [
        row
        for row in rows
        if row["outcome"] == Outcome.WRONG
        or (row["outcome"] == Outcome.REFUSED and CHANGES[str(row["change"])].is_good)
    ]
    cases, files = len({row["case"] for row in rows}), len(rows)
    good = [name for name, change in CHANGES.items() if change.is_good]
    return {"cases": cases, "files": files, "good": good, "changes": counts, "faults": faults}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", default="", help="a regular expression of cases; the result is printed then")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    result = summary(measure(options.data, options.only))
    text = json.dumps({key: value for key, value in result.items() if key != "faults"}, indent=2)
    faults = ",\n".join("    " + json.dumps(fault) for fault in result["faults"])
    write_text_atomic(options.output, text.removesuffix("\n}") + f',\n  "faults": [\n{faults}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
