"""Learns what each sign of an error is worth, and measures how well the list then finds errors of other patients.

    python benchmarks/review/fit.py [--config benchmarks/liver_model/config.yaml] [--write]

The masks are those of `benchmarks/out_of_fold.py`, each made by a model that had not seen the patient. Every patient's
reach is measured with weights from the other patients; figures go to fit.json. `--write` puts weights from all patients
into the core. Validation cases are no input of this script.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from labelled_slices import LabelledSlices
from scipy.optimize import nnls

from sammix_core.datasets.cases import load_case
from sammix_core.files import write_text_atomic
from sammix_core.segmentation.review import NEEDS_REVIEW
from sammix_core.segmentation.review.estimate import WEIGHTS, ErrorEstimate
from sammix_core.segmentation.review.signs import SIGNS
from sammix_core.training.config import TrainingConfig

RESULT = Path(__file__).with_suffix(".json")
CONFIG = Path(__file__).parents[1] / "liver_model" / "config.yaml"
_DIGITS = 3
_MARKED_FROM = (0.03, NEEDS_REVIEW, 0.08)  # shares to compare
_BAD_SHARE, _SMALL_SHARE = 0.05, 0.1  # wrong by so much of the mask, or of a tenth of the largest one


def learnt(cases: Sequence[LabelledSlices]) -> ErrorEstimate:
    """Weights by least squares that are not negative.

    Areas are in units of a volume's mean error, so that no bad volume leads, and the volumes of a patient share one
    say. A slice counts less the more of it is wrong, since its error is the less certain. That alone would expect too
    little of bad slices, so all weights are then scaled until expected and real errors agree in the mean.
    """
    volumes = Counter(case.case.patient for case in cases)
    rows, targets, says = [], [], []
    for case in cases:
        mean = max(float(case.wrong_mm2.mean()), 1.0)
        rows.append(case.signs() / mean)
        targets.append(case.wrong_mm2 / mean)
        says.append(np.full(len(targets[-1]), 1 / volumes[case.case.patient]))
    signs, wrong, say = np.vstack(rows), np.concatenate(targets), np.concatenate(says)
    certainty = np.sqrt(say / (1 + wrong))
    weights, _ = nnls(signs * certainty[:, None], wrong * certainty)
    weights *= (say @ wrong) / (say @ signs @ weights)
    models = ", ".join(sorted({case.model for case in cases}))
    about = f"{len(wrong)} labelled slices of {len(volumes)} patients that {models} had not seen"
    return ErrorEstimate(
        {name: round(float(weight), _DIGITS) for name, weight in zip(SIGNS, weights, strict=True)}, about
    )


def figures(case: LabelledSlices, estimate: ErrorEstimate) -> dict[str, Any]:
    """How well weights find the errors of a case."""
    listed = case.listed(estimate)
    first, reach = case.reach(listed)
    reviews = case.reviews(estimate)
    areas = {state.slice_index: state.area_px for state in case.states}
    largest = max(areas.values())
    bad = {
        index
        for index, wrong in case.wrong_px.items()
        if wrong >= _BAD_SHARE * max(areas[index], _SMALL_SHARE * largest)
    }
    marked = {
        share: {review.slice_index for review in reviews if review.uncertainty >= share} for share in _MARKED_FROM
    }
    return {
        "case": case.case.name,
        "patient": case.case.patient,
        "model": case.model,
        "labelled": len(case.wrong_px),
        "listed": len(listed),
        "first": first,
        "reach": round(reach, 3),
        "wrong_px": sum(case.wrong_px.values()),
        "expected_px": round(sum(review.expected_wrong_px for review in reviews)),
        "bad": len(bad),
        "marked_from": {str(share): len(indices) for share, indices in marked.items()},
        "marked_and_bad_from": {str(share): len(indices & bad) for share, indices in marked.items()},
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures of patients left out, as Markdown."""
    lines = [
        "| case | slices listed | share of the best order | marked | of these bad | bad in all |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        shown = f"first {row['first']} of {row['listed']} | {row['reach']:.2f}"
        lines.append(f"| {row['case']} | {shown} | {_marked([row], NEEDS_REVIEW)} |")
    mean = fmean(row["reach"] for row in rows)
    for share in _MARKED_FROM:
        reach = f"{mean:.2f}" if share == NEEDS_REVIEW else ""
        lines.append(f"| **all**, marked from {share:.0%} | | {reach} | {_marked(rows, share)} |")
    return "\n".join(lines)


def _marked(rows: Sequence[dict[str, Any]], share: float) -> str:
    sums = [sum(row[key][str(share)] for row in rows) for key in ("marked_from", "marked_and_bad_from")]
    return f"{sums[0]} | {sums[1]} | {sum(row['bad'] for row in rows)}"


def main() -> None:
    """Learns and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG, help="the configuration that was run out of fold")
    parser.add_argument("--write", action="store_true", help="put the weights into the core")
    arguments = parser.parse_args()
    cases = [LabelledSlices.out_of_fold(load_case(one)) for one in TrainingConfig.read(arguments.config).cases]
    patients = dict.fromkeys(case.case.patient for case in cases)
    rows = []
    for patient in patients:
        others = learnt([case for case in cases if case.case.patient != patient])
        rows += [figures(case, others) for case in cases if case.case.patient == patient]
    print(table(rows))
    shipped = learnt(cases)
    print(json.dumps(shipped.weights, indent=1))
    write_text_atomic(RESULT, json.dumps({"learnt_from": shipped.learnt_from, "left_out": rows}, indent=1) + "\n")
    if arguments.write:
        entry = {"learnt_from": shipped.learnt_from, "weights": dict(shipped.weights)}
        write_text_atomic(WEIGHTS, json.dumps(entry, indent=1) + "\n")


if __name__ == "__main__":
    main()
