"""Leave-one-patient-out with default settings: each patient's volumes by a model that has not seen the patient.

    python benchmarks/out_of_fold.py CONFIG [--only PATIENT ...] [--table]

For each patient head and decoder are trained without that patient and the others of its fold (resuming what is there
already), and the patient's whole volumes are segmented with automatic boxes and with the label's own, one a part. No
refiner takes part: the shipped one has seen all patients. Scores are over the labelled slices. Rows go to
benchmarks/out_of_fold.jsonl; mask, boxes and signs of every slice go to benchmarks/liver_model/out_of_fold, for what
learns from the model's errors. A case whose file is of this configuration's model is passed over, so that the same
command continues a run that was stopped.
Last come rows of how far the volumes of one examination are apart.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from left_out import LeftOut
from oracle import oracle_boxes

from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.datasets.labels import decode_runs, encode_runs
from sammix_core.evaluation.metrics import score_masks
from sammix_core.files import write_text_atomic
from sammix_core.masks.overlap import mask_dice
from sammix_core.segmentation.result import SegmentationResult
from sammix_core.training.config import TrainingConfig
from sammix_core.volume_io import read_volume

RESULTS = Path(__file__).with_name("out_of_fold.jsonl")
CONFIG = Path(__file__).with_name("liver_model") / "config.yaml"
MASKS = Path(__file__).with_name("liver_model") / "out_of_fold"
SCHEMA = "sammix-out-of-fold/1"
_GOOD_SLICE = 0.95
# Two phases of one examination show the same liver; see `shared_ml`.
SAME_DAY = (
    ("hcc005_plain", "hcc005_portal"),
    ("hcc007_plain10mm", "hcc007_arterial"),
    ("hcc009_plain10mm", "hcc009_portal"),
    ("hcc015_arterial", "hcc015_portal"),
)


def row_of(result: SegmentationResult, case: LabelledCase) -> dict[str, Any]:
    """Scores of a result on the labelled slices."""
    known, spacing_known = case.labelled, case.volume.spacing_known
    found, label = case.order.forward(result.mask > 0)[known], case.mask_volume()[known]
    slice_mm, row_mm, col_mm = case.spacing
    scores = score_masks(found, label, (col_mm, row_mm, slice_mm) if spacing_known else None)
    of_slices = [mask_dice(f, m) for f, m in zip(found, label, strict=True) if f.any() or m.any()]
    return {
        "dice": scores.dice,
        "hd95_mm": scores.hd95_mm,
        "surface_dice_2mm": scores.surface_dice_2mm,
        "volume_difference_percent": scores.volume_difference_percent,
        "good_slices_percent": 100 * float(np.mean(np.array(of_slices) >= _GOOD_SLICE)),
        "labelled_slices": int(known.sum()),
        "slices_with_several_boxes": sum(len(boxes) > 1 for boxes in result.boxes.values()),
    }


def write_slices(result: SegmentationResult, model: str, case: LabelledCase) -> None:
    """Writes mask, boxes and signs of every slice; masks as run lengths of canonical slices, see `encode_runs`."""
    order, shape = case.order, case.volume.shape_kji
    axial = order.forward(result.mask > 0)
    entries = []
    for index, mask in enumerate(axial):
        report = result.slices[order.slice_index(index, shape)]
        entry = {
            "slice": index,
            "boxes": [order.box_to_canonical(box.edges, shape) for box in report.boxes],
            "probability": None if math.isnan(report.probability) else round(report.probability, 4),
            "scores": asdict(report.scores),
            "runs": encode_runs(mask),
        }
        entries.append(json.dumps(entry, separators=(",", ":")))
    head = {"schema": SCHEMA, "model": model, "case": case.name, "patient": case.patient, "shape": list(axial.shape)}
    MASKS.mkdir(exist_ok=True)
    body = ",\n  ".join(entries)
    write_text_atomic(_file_of(case.name), json.dumps(head)[:-1] + ', "slices": [\n  ' + body + "\n]}\n")


def rows_of(left_out: LeftOut, one: CaseConfig) -> Iterator[dict[str, Any]]:
    """Segments a case by its fold's model; the file of its slices is written last."""
    case = load_case(one)
    config = left_out.trainer.config
    model = f"{config.name}/{config.version}"
    session = left_out.session(one)
    session.find_boxes()
    automatic = session.segment_boxes()
    head = {"model": model, "case": one.name, "patient": one.patient}
    yield {**head, "boxes": "auto", **row_of(automatic, case)}
    session.boxes = oracle_boxes(session.volume, case.order.back(case.mask_volume()), by_part=True)
    yield {**head, "boxes": "oracle_parts", **row_of(session.segment_boxes(), case)}
    write_slices(automatic, model, case)


def _file_of(name: str) -> Path:
    return MASKS / f"{name}.json"


def _is_done(name: str, model: str) -> bool:
    return _file_of(name).is_file() and kept_slices(name)["model"] == model


def main() -> None:
    """Runs the folds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--only", nargs="*", help="patients; all by default")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown and leave")
    arguments = parser.parse_args()
    config = TrainingConfig.read(arguments.config)
    if arguments.table:
        print(table(config))
        return
    models = LeftOut(config, version=None)
    for one in config.cases:
        if (arguments.only and one.patient not in arguments.only) or _is_done(
            one.name, f"{config.name}/{config.version}"
        ):
            continue
        for row in rows_of(models, one):
            _append(row)
    cases = {case.name: case for case in config.cases}
    for pair in SAME_DAY:
        if all(_is_done(name, f"{config.name}/{config.version}") for name in pair):
            both = shared_ml(cases[pair[0]], cases[pair[1]])
            _append({"model": f"{config.name}/{config.version}", "pair": pair, "ml": both})


def _append(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def kept_slices(name: str) -> dict[str, Any]:
    """What `write_slices` wrote of a case."""
    kept: dict[str, Any] = json.loads(_file_of(name).read_text(encoding="utf-8"))
    return kept


def slices_of(name: str) -> np.ndarray:
    """(slices, rows, cols) bool of a case that was segmented, in canonical axial order."""
    kept = kept_slices(name)
    _, rows, cols = kept["shape"]
    return np.stack([decode_runs(entry["runs"], (rows, cols)) for entry in kept["slices"]])


def shared_ml(first: CaseConfig, second: CaseConfig) -> tuple[float, float]:
    """Millilitres of the liver of two volumes of one examination, in the part of the body that both show.

    Slices count as far as they lie within that part along the body's axis.
    """
    extents = []
    for one in (first, second):
        volume = read_volume(one.ct)
        slice_mm, row_mm, col_mm = volume.axial_order.spacing(volume.spacing)
        masks, axis = slices_of(one.name), "ijk".index(volume.axial_order.slice_axis)
        lowest = min(volume.origin[2], (volume.origin + volume.direction[:, axis] * slice_mm * (len(masks) - 1))[2])
        centres = lowest + slice_mm * np.arange(len(masks))  # canonical slices go upwards
        extents.append((centres, slice_mm, masks.sum((1, 2)) * row_mm * col_mm / 1000))
    bottom = max(float(centres.min() - mm / 2) for centres, mm, _ in extents)
    top = min(float(centres.max() + mm / 2) for centres, mm, _ in extents)
    within = [np.clip(np.minimum(c + mm / 2, top) - np.maximum(c - mm / 2, bottom), 0, None) for c, mm, _ in extents]
    one, other = (float((share * area).sum()) for share, (_, _, area) in zip(within, extents, strict=True))
    return one, other


def left_out() -> str:
    """The table of the shipped model's recipe."""
    return table(TrainingConfig.read(CONFIG))


def table(config: TrainingConfig) -> str:
    """The rows of a configuration's model as Markdown, and how far volumes of one examination are apart."""
    model = f"{config.name}/{config.version}"
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.is_file() else []
    last = {(row["case"], row["boxes"]): row for row in rows if row["model"] == model and "case" in row}
    lines = [
        "| case | labelled slices | Dice | HD95, mm | volume error, % | slices >= 0.95, % | Dice, label's boxes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    by_patient: dict[str, list[tuple[float, float]]] = {}
    for one in config.cases:
        if (one.name, "oracle_parts") not in last:
            continue
        auto, oracle = last[one.name, "auto"], last[one.name, "oracle_parts"]
        by_patient.setdefault(one.patient, []).append((auto["dice"], oracle["dice"]))
        hd95 = "" if auto["hd95_mm"] is None else f"{auto['hd95_mm']:.1f}"
        lines.append(
            f"| {one.name} | {auto['labelled_slices']} | {auto['dice']:.4f} | {hd95} "
            f"| {auto['volume_difference_percent']:+.1f} | {auto['good_slices_percent']:.0f} | {oracle['dice']:.4f} |"
        )
    if not by_patient:
        return "Not measured yet."
    means = np.array([np.mean(of_patient, axis=0) for of_patient in by_patient.values()])
    lines.append(
        f"| mean of {len(means)} patients | | {means[:, 0].mean():.4f} | | | | {means[:, 1].mean():.4f} |\n\n"
        "| two volumes of one examination | mL | mL | apart, % |\n| --- | --- | --- | --- |"
    )
    pairs = {tuple(row["pair"]): row["ml"] for row in rows if row["model"] == model and "pair" in row}
    for (first, second), (one_ml, other_ml) in pairs.items():
        apart = 100 * abs(one_ml - other_ml) / max(one_ml, other_ml)
        lines.append(f"| {first}, {second} | {one_ml:.0f} | {other_ml:.0f} | {apart:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
