"""The sections of docs/results.md on odd input, from the result files of value_scale.py and orientation.py alone."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

HERE = Path(__file__).resolve().parent
SCALE_TITLE = "## Is it in Hounsfield units?"
_SCALE_ABOUT = """
Made by `python benchmarks/value_scale.py` ([result](../benchmarks/value_scale.json)) from {cases} real CT of
`../shared/data`: whole, as five slabs of 5 slices, as views within the body (half of it, a third, the liver's), with
air set to -1000, and cut to the body. Each of these {files:,} files holds the CT in one of the ways below. *Right* is
as it should be, converted and said where it has to be; a good CT must never be *refused*, and none may be *wrong
without a word*. An offset of less than 60 HU is not seen.
"""
_SCALE_HEAD = "| the file holds | right | refused in a sentence | off by less than 60 HU | wrong without a word |"
LIES_TITLE = "## How does the patient lie?"
_LIES_ABOUT = """
Made by `python benchmarks/orientation.py` ([result](../benchmarks/orientation.json)). {files:,} files state a spacing
and no orientation: {cases} real CT thinned to {slices} slices, in each of the 24 orders and directions of axes in
which axial slices can lie. The axis along the patient was right in {axes:,}, and said to be uncertain in {uncertain};
the spine left no doubt of front and back in {sure:,}, and was wrong in {wrong}. With a header that exchanges front
and back, the spine contradicted it in {contradicted} of {stated} CT, and with the right header in {alarms}.
{not_whole}
"""
_NETWORK_HEAD = "| with the network | files | right | contradiction said | emptied, and said so | slices encoded |"
Result = dict[str, Any]


def read_result(name: str, folder: Path = HERE) -> Result | None:
    """A result file, or None where it has not been made."""
    file = folder / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def scale_section(result: Result | None) -> str:
    """The section on Hounsfield units, without a blank line at its end."""
    if result is None:
        return f"{SCALE_TITLE}\n\nNot measured yet."
    about = _SCALE_ABOUT.format(cases=result["cases"], files=result["files"])
    rows = [_SCALE_HEAD, _line(_SCALE_HEAD)]
    for change, counts in result["changes"].items():
        right, refused, small, wrong = counts.values()
        name = f"HU: {change}" if change in result["good"] else change
        rows.append(f"| {name} | {right} | {refused} | {small} | {wrong} |")
    return "\n\n".join([SCALE_TITLE, _filled(about), "\n".join(rows)])


def lies_section(result: Result | None) -> str:
    """The section on orientation, without a blank line at its end."""
    if result is None:
        return f"{LIES_TITLE}\n\nNot measured yet."
    image = result["by image"]
    not_whole = "lits117, a crop round the liver without a spacing, shows neither." if image["uncertain"] else ""
    about = _LIES_ABOUT.format(**image, slices=result["slices"], not_whole=not_whole)
    if not result["with the network"]:
        return f"{LIES_TITLE}\n\n{_filled(about)}\n\nThe network's part is not measured yet."
    rows = [_NETWORK_HEAD, _line(_NETWORK_HEAD)]
    for name, row in result["with the network"].items():
        cells = [row.get(key, "") for key in ("files", "right", "contradiction said", "emptied and said", "encoded")]
        rows.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return "\n\n".join([LIES_TITLE, _filled(about), "\n".join(rows)])


def _line(head: str) -> str:
    return "| --- " * (head.count("|") - 1) + "|"


def _filled(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_on_hyphens=False)
