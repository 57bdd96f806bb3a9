"""Measures what carrying a correction to the neighbours brings, against doing nothing and copying the neighbour's mask.

    python benchmarks/carry.py CONFIG --refiner 0.3.0 [--case hcc009_portal ...] [--speed]
    python benchmarks/carry.py CONFIG --table

Volumes of a training configuration, each with head, decoder and refiner that have not seen the patient (see
`left_out.py`), with labels that were painted slice by slice (`benchmarks/liver_model/labels`). The label is put on a
slice, as if painted, and carried; each of these corrections by itself, from the automatic result. On `wrong` slices the
automatic mask is most wrong, on `good` ones it is nearly right. Dice is that of the slices nearest to 2, 5 and 10 mm
away, and wrong voxels are counted over all labelled slices but the painted one. `one after the other` paints all wrong
slices of a volume, with and without carrying each. Rules were chosen on `CHOSEN_ON`, and only read on the others.
`--speed` measures seconds instead, on an empty volume, where every slice changes. Rows go to benchmarks/carry.jsonl.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from left_out import LeftOut

from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.masks.overlap import mask_dice
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.training.config import TrainingConfig

RESULTS = Path(__file__).with_suffix(".jsonl")
CHOSEN_ON = ("hcc007", "hcc009")
CASES = ("hcc009_portal", "hcc007_arterial", "hcc007_plain10mm", "hcc002_portal", "hcc015_portal")
AWAY_MM = (2, 5, 10)
WRONG_MM2, GOOD_MM2, APART_MM, WRONG, GOOD = 400.0, 100.0, 10.0, 5, 3


class Corrected:
    """A volume, its labels and its automatic result; canonical slices.

    Args:
        session: Segmented.
        case: The labels.
    """

    def __init__(self, session: SegmentationSession, case: LabelledCase) -> None:
        self.session = session
        self.case = case
        self.label = case.mask_volume()
        self.labelled = case.labelled
        self.automatic = self.masks()
        slice_mm, row_mm, col_mm = case.spacing
        self.slice_mm, self.pixel_mm2 = slice_mm, row_mm * col_mm
        self._states = [session.slices.state(index) for index in range(session.boxes.slice_count)]

    def masks(self) -> np.ndarray:
        """(slices, rows, cols) bool as they are now."""
        return self.session.axial.order.forward(self.session.slices.mask()) > 0

    def wrong_mm2(self, index: int) -> float:
        """Where the automatic mask of a slice differs from its label."""
        return float(np.count_nonzero(self.label[index] ^ self.automatic[index])) * self.pixel_mm2

    def wrong_ml(self, masks: np.ndarray, without: int | None = None) -> float:
        """Wrong voxels of the labelled slices, in mL."""
        counted = self.labelled.copy()
        if without is not None:
            counted[without] = False
        return float(np.count_nonzero((masks ^ self.label)[counted])) * self.pixel_mm2 * self.slice_mm / 1000

    def chosen(self, wrong: bool) -> list[int]:
        """Slices to correct, apart from each other: the wrongest, or good ones with the largest error."""
        labelled = [int(index) for index in np.flatnonzero(self.labelled)]
        most = np.inf if wrong else GOOD_MM2
        fit = [index for index in labelled if (WRONG_MM2 if wrong else 1.0) <= self.wrong_mm2(index) <= most]
        chosen: list[int] = []
        for index in sorted(fit, key=self.wrong_mm2, reverse=True):
            if all(abs(index - other) * self.slice_mm >= APART_MM for other in chosen):
                chosen.append(index)
        return chosen[: WRONG if wrong else GOOD]

    def paint(self, index: int) -> int:
        """Puts the label on a slice; returns its index along the user's axis."""
        at = self.session.axial.slice_index(index)
        plane = self.session.axial.order.slice_to_volume(self.label[index])
        self.session.slices.put(self.session.slices.state(at).corrected_to(plane))
        return at

    def restore(self) -> None:
        """The automatic result again."""
        for state in self._states:
            self.session.slices.put(state)

    def away(self, index: int) -> Iterator[tuple[int, int]]:
        """(mm, slice): the labelled slices with liver at the distances to score, on both sides."""
        for mm in AWAY_MM:
            steps = max(1, round(mm / self.slice_mm))
            if abs(steps * self.slice_mm - mm) <= 1.25:
                for other in (index - steps, index + steps):
                    if 0 <= other < len(self.label) and self.labelled[other] and self.label[other].any():
                        yield mm, other


def main() -> None:
    """Measures the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="such as benchmarks/liver_model/config.yaml")
    parser.add_argument("--refiner", help="version of the folds' refiners")
    parser.add_argument("--case", nargs="*", default=CASES)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    training = TrainingConfig.read(arguments.config)
    if unknown := set(arguments.case) - {config.name for config in training.cases}:
        parser.error(f"{arguments.config} has no case {sorted(unknown)[0]!r}")
    left_out = LeftOut(training, arguments.refiner)
    for config in training.cases:
        if config.name not in arguments.case:
            continue
        session = left_out.session(config)
        for row in speed(session, config) if arguments.speed else measured(_segmented(session, config)):
            row = {"refiner": arguments.refiner, "case": config.name, **row}
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def measured(corrected: Corrected) -> Iterator[dict[str, Any]]:
    """The rows of one volume."""
    for kind in ("wrong", "good"):
        for index in corrected.chosen(kind == "wrong"):
            yield {"kind": kind, "slice": index, **_one(corrected, index)}
            corrected.restore()
    chosen = corrected.chosen(wrong=True)
    left = {}
    for carried in (False, True):
        for index in chosen:
            at = corrected.paint(index)
            if carried:
                corrected.session.carry(at)
        left[carried] = round(corrected.wrong_ml(corrected.masks()), 2)
        corrected.restore()
    yield {
        "kind": "one after the other",
        "painted": len(chosen),
        "wrong_ml_automatic": round(corrected.wrong_ml(corrected.automatic), 2),
        "wrong_ml_painted": left[False],
        "wrong_ml_carried": left[True],
    }


def _one(corrected: Corrected, index: int) -> dict[str, Any]:
    """What carrying one correction does: figures of a row."""
    changed, seconds = _carried(corrected, corrected.paint(index))
    masks, label = corrected.masks(), corrected.label
    dice: dict[str, Any] = {}
    for mm, other in corrected.away(index):
        compared = (corrected.automatic[other], label[index], masks[other])
        dice.setdefault(str(mm), []).append([round(mask_dice(mask, label[other]), 4) for mask in compared])
    worse = [
        float(np.count_nonzero(masks[k] ^ label[k])) * corrected.pixel_mm2 - corrected.wrong_mm2(k)
        for k in map(corrected.session.axial.canonical, changed)
        if corrected.labelled[k]
    ]
    return {
        "wrong_mm2": round(corrected.wrong_mm2(index)),
        "changed": changed,
        "slices_worse": sum(mm2 > 0 for mm2 in worse),
        "wrong_ml_before": round(corrected.wrong_ml(corrected.automatic, index), 3),
        "wrong_ml_after": round(corrected.wrong_ml(masks, index), 3),
        "dice_nothing_copy_carried": dice,
        **seconds,
    }


def speed(session: SegmentationSession, config: CaseConfig) -> Iterator[dict[str, Any]]:
    """Carries one painted slice over a volume without any mask, so that every slice changes; then once more."""
    session.forget_embeddings()
    corrected = Corrected(session, load_case(config))
    shown = np.flatnonzero(corrected.label.any((1, 2)))
    middle = int(shown[len(shown) // 2])
    corrected.session.prepare_slice(corrected.session.axial.slice_index(middle))
    for encoded in (False, True):
        changed, seconds = _carried(corrected, corrected.paint(middle))
        corrected.restore()
        yield {
            "kind": "speed",
            "slice_mm": round(corrected.slice_mm, 2),
            "encoded_before": encoded,
            "changed": len(changed),
            **seconds,
        }


def _segmented(session: SegmentationSession, config: CaseConfig) -> Corrected:
    session.find_boxes()
    session.segment_boxes()
    return Corrected(session, load_case(config))


def _carried(corrected: Corrected, at: int) -> tuple[list[int], dict[str, float | None]]:
    """Carries a slice; returns the changed ones, and seconds to the first of them, in all, and of the processor."""
    reported: list[float] = []
    start, cpu_start = time.perf_counter(), time.process_time()
    changed = corrected.session.carry(at, on_changed=lambda _: reported.append(time.perf_counter() - start))
    return changed, {
        "first_seconds": round(reported[0], 2) if reported else None,
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu_start, 2),
    }


def table() -> str:
    """The rows as Markdown."""
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    lines = [
        "| patients | slices painted | mm away | Dice: nothing | copy | carried |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    groups = [
        (f"{'chosen on' if chosen else 'read'}, {kind} slices", of_kind)
        for kind in ("wrong", "good")
        for chosen in (True, False)
        if (of_kind := [r for r in rows if r["kind"] == kind and (r["case"].split("_")[0] in CHOSEN_ON) is chosen])
    ]
    for group, of_group in groups:
        for mm in map(str, AWAY_MM):
            scores = [score for row in of_group for score in row["dice_nothing_copy_carried"].get(mm, [])]
            if scores:
                means = " | ".join(f"{fmean(column):.4f}" for column in zip(*scores, strict=True))
                lines.append(f"| {group} | {len(of_group)} | {mm} | {means} |")
    lines += [
        "",
        "| patients | slices painted | carried to | of these worse | mL wrong before | after |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for group, of_group in groups:
        before, after = (sum(row[key] for row in of_group) for key in ("wrong_ml_before", "wrong_ml_after"))
        reached, worse = sum(len(row["changed"]) for row in of_group), sum(row["slices_worse"] for row in of_group)
        lines.append(f"| {group} | {len(of_group)} | {reached} | {worse} | {before:.1f} | {after:.1f} |")
    lines += [
        "",
        "| volume | painted | mL wrong, automatic | painted | painted and carried |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row["kind"] == "one after the other":
            figures = " | ".join(f"{row[f'wrong_ml_{what}']:.1f}" for what in ("automatic", "painted", "carried"))
            lines.append(f"| {row['case']} | {row['painted']} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
