"""The section of docs/results.md on damaged files, from the result files of benchmarks/fuzz/run.py alone."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

HERE = Path(__file__).resolve().parent / "fuzz"
TITLE = "## Damaged files"
_ABOUT = """
Made by `python benchmarks/fuzz/run.py` (a result file a run in `benchmarks/fuzz`). It mutates real headers and reads
the files in another process: NIfTI, NRRD, MetaImage, DICOM, boxes, .seg.nrrd and model manifests. A traceback, more
than 60 s of processor time, more than 3 GB or a mask on another grid is a failure. Every file is read, and by default
one in twenty of the accepted CTs is segmented.
"""
_HEAD = "| run | minutes | files | refused in a sentence | read | segmented | failures | largest process |"
Result = dict[str, Any]


def read_results(folder: Path = HERE) -> dict[str, Result]:
    """The result files, by name."""
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("result*.json"))}


def section(results: dict[str, Result]) -> str:
    """The whole section, without a blank line at its end."""
    if not results:
        return f"{TITLE}\n\nNot measured yet."
    rows = [_HEAD, "| --- " * _HEAD.count(" |") + "|", *(_row(name, result) for name, result in results.items())]
    return "\n\n".join([TITLE, fill(_ABOUT.strip(), 120, break_on_hyphens=False), "\n".join(rows)])


def _row(name: str, result: Result) -> str:
    totals = {
        outcome: sum(counts.get(outcome, 0) for counts in result["outcomes"].values())
        for outcome in ("refused", "read", "segmented")
    }
    counts = " | ".join(f"{count:,}" for count in totals.values())
    figures = f"{result['minutes']} | {result['files']:,} | {counts} | {len(result['failures'])}"
    return f"| [{name}](../benchmarks/fuzz/{name}) | {figures} | {result['largest_process_mib']:,} MiB |"
