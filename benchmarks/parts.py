"""Measures what boxes for missing parts bring, on whole volumes: the shipped model with and without them.

    python benchmarks/parts.py --data ../shared/data [--case hcc007_arterial ...]

The hcc cases and kits00072 are patients that liver/1.1.0 was not trained on; their labels were painted slice by slice
(`benchmarks/liver_model/labels`), beginning from that model's masks, so the figures flatter both sides alike. Scores
are over the slices that a reader labelled. The validation cases were read once, after every setting was chosen. Rows go
to benchmarks/parts.jsonl; `--table` prints them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

from validate import CASES as VALIDATION

from sammix_core.datasets.cases import CaseConfig, load_case
from sammix_core.masks.overlap import mask_dice
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io import read_volume

RESULTS = Path(__file__).with_name("parts.jsonl")
LABELS = Path(__file__).with_name("liver_model") / "labels"


def main() -> None:
    """Segments and scores the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--case", nargs="*", help="painted or validation cases; all painted ones without it")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    shipped = Segmenter.load("liver")
    following = shipped.model.following
    painted = [*sorted(path.stem for path in LABELS.glob("hcc*.json")), "kits00072_slab"]
    for name in arguments.case or painted:
        config = _config(name, arguments.data)
        volume = read_volume(config.ct)
        case = load_case(config, volume)
        label = case.mask_volume()[case.labelled]
        for parts in (False, True):
            model = dataclasses.replace(shipped.model, following=dataclasses.replace(following, parts=parts))
            start = time.perf_counter()
            result = Segmenter(model, shipped.refiner).segment_volume(volume)
            mask = volume.axial_order.forward(result.mask > 0)[case.labelled]
            row = {
                "model": result.model,
                "case": name,
                "parts": parts,
                "labelled_slices": len(label),
                "dice": round(mask_dice(mask, label), 4),
                "volume_error_percent": round(100 * (float(mask.sum()) / float(label.sum()) - 1), 2),
                "slices_with_several_boxes": sum(len(boxes) > 1 for boxes in result.boxes.values()),
                "seconds": round(time.perf_counter() - start, 1),
            }
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def _config(name: str, data: Path) -> CaseConfig:
    if name in VALIDATION:
        ct, label, values, _ = VALIDATION[name]
        return CaseConfig(name, data / ct, data / label, values)
    return CaseConfig(name, data / f"{name}_ct.nii.gz", LABELS / f"{name}.json")


def table() -> str:
    """The rows as Markdown."""
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    last = {(row["case"], row["parts"]): row for row in rows}
    lines = [
        "| case | labelled slices | Dice without | Dice with parts | volume error without / with, % "
        "| slices with several boxes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    both = [case for case in dict.fromkeys(row["case"] for row in rows) if {(case, False), (case, True)} <= last.keys()]
    for case in both:
        without, with_parts = last[case, False], last[case, True]
        lines.append(
            f"| {case} | {without['labelled_slices']} | {without['dice']:.4f} | {with_parts['dice']:.4f} "
            f"| {without['volume_error_percent']:+.1f} / {with_parts['volume_error_percent']:+.1f} "
            f"| {with_parts['slices_with_several_boxes']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
