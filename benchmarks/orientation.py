"""Tries whether SAMMix finds how a patient lies in a file that does not say it, and notices a header that is wrong.

    python benchmarks/orientation.py [--data ../shared/data] [--network REGEX]

Each CT of the folder is thinned to a few slices and stored in all orders and directions of axes with a spacing and no
orientation: does the body's outline show the axis along the patient, and the spine the back? Some are then given to the
network too, in orders that are drawn from a seed, and with headers that exchange left and right, front and back, or
both, or that are right. The result goes into `orientation.json`, and into docs/results.md by `results_table.py`.
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
from sammix_core.segmentation.orientation import SPINE_IN_FRONT, detect_orientation, row_flips
from sammix_core.segmentation.plausibility import Verdict
from sammix_core.segmentation.spine import spine_row
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


def all_orders() -> list[AxialOrder]:
    """Every order of axes and direction of rows and columns; which way slices run does not matter."""
    return [
        AxialOrder((axes[0], axes[1], axes[2]), (False, row, col))
        for axes in itertools.permutations((2, 1, 0))
        for row, col in itertools.product((False, True), repeat=2)
    ]


def drawn_orders(seed: int) -> list[AxialOrder]:
    """The order of the array itself, and some others."""
    everything = all_orders()
    others = np.random.default_rng(seed).permutation(len(everything))[:_ORDERS]
    return [AxialOrder((2, 1, 0), (False, False, False)), *(everything[number] for number in others)]


def by_image(volumes: dict[str, Volume]) -> dict[str, int]:
    """What outline and spine show, without the network."""
    counts = dict.fromkeys(("files", "axes", "uncertain", "sure", "wrong", "contradicted", "stated", "alarms"), 0)
    for volume in volumes.values():
        for order in all_orders():
            stored = stored_as(volume, order)
            seen = with_patient_axes(stored)
            found = seen.axial_order
            counts["files"] += 1
            counts["axes"] += found.axes == order.axes
            counts["uncertain"] += any("do not show for certain" in note for note in seen.notes)
            if found.axes == order.axes:
                flips = row_flips(found.forward(stored.array))
                counts["sure"] += len(flips) == 1
                counts["wrong"] += (found.flips[1] ^ order.flips[1]) not in flips
        row, flipped = spine_row(volume.array), spine_row(volume.array[:, ::-1])
        if row is not None and flipped is not None:
            counts["stated"] += 1
            counts["alarms"] += row <= SPINE_IN_FRONT
            counts["contradicted"] += flipped <= SPINE_IN_FRONT
    return {"cases": len(volumes), **counts}


def with_network(volumes: dict[str, Volume], only: str) -> list[dict[str, object]]:
    """One row a case and way to store it."""
    segmenter = Segmenter.load("liver", refined=False)
    rows: list[dict[str, object]] = []
    for seed, (name, volume) in enumerate(volumes.items()):
        if not re.search(only, name):
            continue
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
            "right": sum(bool(row["right"]) for row in lost),
            "encoded": float(np.mean([row["encoded"] for row in lost])),
        }
    }
    for header in _HEADERS:
        of = [row for row in rows if row.get("header") == header]
        result[f"header: {header}"] = {
            "files": len(of),
            "contradiction said": sum(bool(row["contradiction_said"]) for row in of),
            "emptied and said": sum(row["verdict"] == Verdict.IMPLAUSIBLE.value for row in of),
        }
    return result


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--network", default="crlm1004|hcc006", help="cases for the network, a regular expression or nothing"
    )
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    paths = [*sorted(options.data.glob("*_ct.nii.gz")), *sorted(options.data.glob("*dicom*/"))]
    volumes = {path.name.removesuffix(".nii.gz").removesuffix("_ct"): thinned(read_volume(path)) for path in paths}
    image = by_image(volumes)
    print(image, flush=True)
    rows = with_network(volumes, options.network) if options.network else []
    entry = {"slices": _SLICES, "by image": image, "with the network": summary(rows) if rows else {}}
    head = json.dumps(entry, indent=2).removesuffix("\n}")
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    write_text_atomic(options.output, f'{head},\n  "rows": [\n{lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
