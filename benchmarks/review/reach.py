"""Measures how far the review list reaches: wrong voxels in the first fifth of its slices, at least three.

    python benchmarks/review/reach.py --data ../shared/data --case lits117 [--model liver]
    python benchmarks/review/reach.py --table

The share is that of the wrong voxels which the best possible order holds in as many slices. Validation cases
(`benchmarks/validate.py`) are read once a release, after everything is chosen; `fit.py` measures patients left out.
Slices whose truth is not known are left out of both orders. Rows go to reach.jsonl.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from labelled_slices import LabelledSlices  # first: it makes benchmarks/ importable
from validate import CASES as VALIDATION
from validate import case_of

from sammix_core.datasets.cases import CaseConfig, load_case
from sammix_core.segmentation.segmenter import Segmenter

RESULTS = Path(__file__).with_suffix(".jsonl")


def main() -> None:
    """Measures the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the validation cases")
    parser.add_argument("--case", nargs="*", choices=list(VALIDATION), default=[])
    parser.add_argument("--model", default="liver")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown and leave")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    if arguments.data is None:
        parser.error("name the folder of the validation cases with --data")
    segmenter = Segmenter.load(arguments.model)
    for name in arguments.case:
        row = measured(segmenter, case_of(name, arguments.data))
        print(json.dumps(row), flush=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def measured(segmenter: Segmenter, config: CaseConfig) -> dict[str, Any]:
    """Segments a case, and says how far its review list reaches."""
    case = load_case(config)
    session = segmenter.open_session(case.volume)
    session.find_boxes()
    result = session.segment_boxes()
    slices = LabelledSlices.of_session(case, session)
    listed = [index for index in session.review() if index in slices.wrong_px]
    first, reach = slices.reach(listed)
    wrong = sum(slices.wrong_px.values())
    found = sum(slices.wrong_px[index] for index in listed[:first])
    return {
        "case": config.name,
        "model": result.model,
        "refined_by": result.refined_by,
        "labelled": len(slices.wrong_px),
        "listed": len(listed),
        "first": first,
        "share_of_best": round(reach, 3),
        "share_of_all": round(found / wrong, 3) if wrong else None,
    }


def table() -> str:
    """The last row of each case as Markdown."""
    rows = {row["case"]: row for row in map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())}
    lines = ["| case | slices listed | share of the best order | of all wrong voxels |", "| --- | --- | --- | --- |"]
    for row in rows.values():
        shares = f"{row['share_of_best']:.2f} | {row['share_of_all']:.2f}"
        lines.append(f"| {row['case']} | first {row['first']} of {row['listed']} | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
