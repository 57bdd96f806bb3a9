"""Tries whether SAMMix finds how a patient lies in a file that does not say it, and notices a header that is wrong.

    python benchmarks/orientation.py [--data ../shared/data] [--only REGEX]

Each CT of the folder is thinned to a few slices. It is then stored in another order of axes, mirrored and turned in
ways that are drawn from a seed, with a spacing and no orientation; and with a header that exchanges left and right,
front and back, or both, or that is right. The result goes into `orientation.json`: the order that was found, what was
said, how many slices were encoded for it and in how many seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from sammix_core import Segmenter, Volume, read_volume
from sammix_core.files import write_text_atomic
from sammix_core.segmentation.orientation import detect_orientation
from sammix_core.segmentation.plausibility import Verdict
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume_io.patient_axes import with_patient_axes

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).with_suffix(".json")
_SLICES = 9
_ORDERS = 2
_HEADERS = {"right": (1, 1), "left and right exchanged": (-1, 1), "front and back exchanged": (1, -1), "both": (-1, -1)}


def thinned(volume: Volume) -> Volume:
    """A few slices in canonical axial order, with a header that says so."""
    axial = volume.axial_order.forward(volume.array)
    mm = volume.axial_order.spacing(volume.spacing)
    indices = np.unique(np.linspace(0, len(axial) - 1, _SLICES).round().astype(int))
    array = np.ascontiguousarray(axial[indices][:, ::2, ::2])
    slice_mm = mm[0] * (indices[-1] - indices[0]) / (len(indices) - 1)
    return Volume(array, (2 * mm[2], 2 * mm[1], slice_mm), (-150.0, -150.0, 10.0), np.eye(3))


def stored_as(volume: Volume, order: AxialOrder) -> Volume:
    """The volume in another order of axes, without a word on it."""
    array = np.ascontiguousarray(order.back(volume.array))
    spacing = [0.0, 0.0, 0.0]
    for axis, mm in zip(order.axes, reversed(volume.spacing), strict=True):
        spacing[axis] = mm
    return Volume(array, (spacing[0], spacing[1], spacing[2]), (0.0, 0.0, 0.0), np.eye(3), orientation_known=False)


def drawn_orders(seed: int) -> list[AxialOrder]:
    """The order of the array itself, and some others."""
    everything = [
        AxialOrder(axes, (False, row, col))
        for axes in itertools.permutations((2, 1, 0))
        for row, col in itertools.product((False, True), repeat=2)
    ]
    others = np.random.default_rng(seed).permutation(len(everything))[:_ORDERS]
    return [AxialOrder((2, 1, 0), (False, False, False)), *(everything[number] for number in others)]


def measure(data: Path, only: str) -> list[dict[str, object]]:
    """One row a case and way to store it."""
    segmenter = Segmenter.load("liver", refined=False)
    rows: list[dict[str, object]] = []
    paths = [*sorted(data.glob("*_ct.nii.gz")), *sorted(data.glob("*dicom*/"))]
    for seed, path in enumerate(paths):
        name = path.name.removesuffix(".nii.gz").removesuffix("_ct")
        if not re.search(only, name):
            continue
        volume = thinned(read_volume(path))
        for order in drawn_orders(seed):
            rows.append({"case": name, **_lost(segmenter, stored_as(volume, order), order)})
            print(rows[-1], flush=True)
        for header, (left, posterior) in _HEADERS.items():
            wrong = replace(volume, direction=np.diag([left, posterior, 1.0]))
            rows.append({"case": name, "header": header, **_stated(segmenter, wrong)})
            print(rows[-1], flush=True)
    return rows


def _lost(segmenter: Segmenter, volume: Volume, order: AxialOrder) -> dict[str, object]:
    started, steps = time.perf_counter(), []
    seen = with_patient_axes(volume)
    found = detect_orientation(seen, segmenter.model, lambda: steps.append(1)).order
    return {
        "stored": [list(order.axes), list(order.flips[1:])],
        "found": [list(found.axes), list(found.flips[1:])],
        "axes_right": found.axes == order.axes,
        "right": (found.axes, found.flips[1:]) == (order.axes, order.flips[1:]),
        "said": len(seen.notes) > 0,
        "encoded": len(steps),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _stated(segmenter: Segmenter, volume: Volume) -> dict[str, object]:
    session = segmenter.open_session(volume)
    boxes = session.find_boxes()
    judgement, notes = session._finder.judgement, session._finder.notes
    blanked = judgement is not None and judgement.verdict is Verdict.IMPLAUSIBLE
    return {
        "contradiction_said": any("contradicts the anatomy" in note for note in notes),
        "boxes": len(boxes),
        "verdict": "nothing found" if judgement is None else judgement.verdict.value,
        "blanked_without_a_word": blanked and not notes,
    }


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    """How many were right, and how many were said."""
    lost = [row for row in rows if "stored" in row]
    result: dict[str, object] = {
        "orientation not stated": {
            "files": len(lost),
            "axes right": sum(bool(row["axes_right"]) for row in lost),
            "right way round": sum(bool(row["right"]) for row in lost),
            "slices encoded": float(np.mean([row["encoded"] for row in lost])),
            "seconds": round(float(np.mean([row["seconds"] for row in lost])), 1),
        }
    }
    for header in _HEADERS:
        of = [row for row in rows if row.get("header") == header]
        result[f"header: {header}"] = {
            "files": len(of),
            "contradiction said": sum(bool(row["contradiction_said"]) for row in of),
            "no boxes, and said so": sum(row["verdict"] == Verdict.IMPLAUSIBLE.value for row in of),
        }
    return result


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", default="", help="a regular expression of cases")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    rows = measure(options.data, options.only)
    head = json.dumps({"slices": _SLICES, "summary": summary(rows)}, indent=2).removesuffix("\n}")
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    write_text_atomic(options.output, f'{head},\n  "rows": [\n{lines}\n  ]\n}}\n')
    print(head)


if __name__ == "__main__":
    main()
