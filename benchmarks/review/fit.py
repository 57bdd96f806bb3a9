"""Learns what each sign of an error is worth, and measures how well the list then finds errors of other patients.

    python benchmarks/review/runs.py --runs RUNS --only hcc002 hcc005 hcc006 hcc007 hcc009 hcc015 kits00072
    python benchmarks/review/fit.py --runs RUNS [--cases benchmarks/liver_model/config-2.yaml] [--write]

RUNS holds the runs of `runs.py`, which must be out of fold: each made by a model that has not seen the patient. Every
patient's reach is measured with weights from the other patients; figures go to fit.json. `--write` puts weights from
all patients into the core. Validation cases are no input of this script.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from labelled_slices import LabelledSlices
from runs import CASES, StoredRun, chosen_cases
from scipy.optimize import nnls

from sammix_core.datasets.cases import load_case
from sammix_core.files import write_text_atomic
from sammix_core.segmentation.review.estimate import WEIGHTS, ErrorEstimate
from sammix_core.segmentation.review.signs import SIGNS

RESULT = Path(__file__).with_suffix(".json")
_DIGITS = 3
_BAD_SHARE, _SMALL_SHARE = 0.05, 0.1  # wrong by so much of the mask, or of a tenth of the largest one


def learnt(cases: Sequence[LabelledSlices]) -> ErrorEstimate:
    """Weights by least squares that are not negative; each case counts by its own mean error, so that none leads."""
    rows, targets = [], []
    for case in cases:
        wrong_mm2 = np.array(list(case.wrong_px.values())) * case.pixel_mm2
        scale = 1 / max(float(wrong_mm2.mean()), 1.0)
        rows.append(case.signs() * scale)
        targets.append(wrong_mm2 * scale)
    weights, _ = nnls(np.vstack(rows), np.concatenate(targets))
    models = ", ".join(sorted({case.run.model for case in cases}))
    patients = len({case.run.patient for case in cases})
    slices = sum(len(case.wrong_px) for case in cases)
    about = f"{slices} labelled slices of {patients} patients that {models} had not seen"
    return ErrorEstimate(
        {name: round(float(weight), _DIGITS) for name, weight in zip(SIGNS, weights, strict=True)}, about
    )


def figures(case: LabelledSlices, estimate: ErrorEstimate) -> dict[str, object]:
    """How well weights find the errors of a case."""
    listed = case.listed(estimate)
    first, reach = case.reach(listed)
    reviews = [review for review in case.reviews(estimate) if review.slice_index in case.wrong_px]
    expected = sum(review.expected_wrong_px for review in reviews)
    areas = {state.slice_index: state.area_px for state in case.run.states}
    largest = max(areas.values())
    flagged = {review.slice_index for review in reviews if review.needs_review}
    bad = {
        index
        for index, wrong in case.wrong_px.items()
        if wrong >= _BAD_SHARE * max(areas[index], _SMALL_SHARE * largest)
    }
    return {
        "case": case.run.case,
        "patient": case.run.patient,
        "model": case.run.model,
        "labelled": len(case.wrong_px),
        "listed": len(listed),
        "first": first,
        "reach": round(reach, 3),
        "wrong_px": sum(case.wrong_px.values()),
        "expected_px": round(expected),
        "flagged": len(flagged),
        "bad": len(bad),
        "flagged_and_bad": len(flagged & bad),
    }


def main() -> None:
    """Learns and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--cases", type=Path, default=CASES)
    parser.add_argument("--write", action="store_true", help="put the weights into the core")
    arguments = parser.parse_args()
    cases = []
    for config in chosen_cases(arguments.cases, []):
        if (path := arguments.runs / f"{config.name}.npz").exists():
            case = load_case(config)
            cases.append(LabelledSlices.of(case, StoredRun.read(path, case.order)))
    rows = []
    for case in cases:
        others = [other for other in cases if other.run.patient != case.run.patient]
        rows.append(figures(case, learnt(others)))
        print(json.dumps(rows[-1]), flush=True)
    shipped = learnt(cases)
    print(json.dumps(shipped.weights, indent=1))
    write_text_atomic(RESULT, json.dumps({"learnt_from": shipped.learnt_from, "left_out": rows}, indent=1) + "\n")
    if arguments.write:
        entry = {"learnt_from": shipped.learnt_from, "weights": dict(shipped.weights)}
        write_text_atomic(WEIGHTS, json.dumps(entry, indent=1) + "\n")


if __name__ == "__main__":
    main()
