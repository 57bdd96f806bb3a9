"""Measures how far the review list reaches: wrong voxels in the first fifth of its slices, at least three.

    python benchmarks/review/reach.py --runs RUNS --data ../shared/data --case lits117 [--model liver]
    python benchmarks/review/reach.py --runs RUNS [--cases benchmarks/liver_model/config-2.yaml]

The share is that of the wrong voxels which the best possible order holds in as many slices. The first form segments
validation cases (`benchmarks/validate.py`), which are read once a release, after everything is chosen; the second takes
stored runs of labelled cases (`runs.py`). Slices whose truth is not known are left out of both orders. Rows go to
reach.jsonl.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from labelled_slices import LabelledSlices
from runs import CASES, StoredRun, chosen_cases, run
from validate import CASES as VALIDATION

from sammix_core.datasets.cases import CaseConfig, load_case
from sammix_core.segmentation.segmenter import Segmenter

RESULTS = Path(__file__).with_suffix(".jsonl")


def main() -> None:
    """Measures the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the validation cases")
    parser.add_argument("--case", nargs="*", choices=list(VALIDATION), default=[])
    parser.add_argument("--model", default="liver")
    parser.add_argument(
        "--runs", type=Path, required=True, help="folder of runs; missing validation runs are made there"
    )
    parser.add_argument("--cases", type=Path, default=CASES)
    arguments = parser.parse_args()
    if arguments.case and arguments.data is None:
        parser.error("--case needs --data")
    for config in _configs(arguments):
        path = arguments.runs / f"{config.name}.npz"
        if not path.exists():
            run(Segmenter.load(arguments.model), config, arguments.runs)
        case = load_case(config)
        slices = LabelledSlices.of(case, StoredRun.read(path, case.order))
        listed = slices.listed()
        first, reach = slices.reach(listed)
        wrong = sum(slices.wrong_px.values())
        row = {
            "case": config.name,
            "model": slices.run.model,
            "labelled": len(slices.wrong_px),
            "listed": len(listed),
            "first": first,
            "share_of_best": round(reach, 3),
            "share_of_all": round(sum(slices.wrong_px[index] for index in listed[:first]) / wrong, 3)
            if wrong
            else None,
        }
        print(json.dumps(row), flush=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _configs(arguments: argparse.Namespace) -> Iterator[CaseConfig]:
    """The validation cases that were named, otherwise those with a stored run."""
    for name in arguments.case:
        ct, label, values, _ = VALIDATION[name]
        yield CaseConfig(name, arguments.data / ct, arguments.data / label, values)
    if not arguments.case:
        for config in chosen_cases(arguments.cases, []):
            if (arguments.runs / f"{config.name}.npz").exists():
                yield config


if __name__ == "__main__":
    main()
