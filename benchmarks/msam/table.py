"""Writes the table of docs/msam.md from benchmarks/msam/stages.jsonl (see stages.py).

python benchmarks/msam/table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

from sammix_core.files import write_text_atomic

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "stages.jsonl"
PAGE = HERE.parents[1] / "docs" / "msam.md"
BEGIN, END = "<!-- stages -->\n", "<!-- /stages -->"
SHOWN = (0, 1, 2, 3, 5, 8, 11)
_ABOUT = """\
Dice of `{model}` (configuration `benchmarks/msam/demo.yaml`) on the case that it learnt, {case}, after the main
stage (1) and the refining stages (2 to 11); 0 is what it begins from. Mean over {seeds} draws of the clicks, the lowest
in brackets. Made by `benchmarks/msam/table.py` from `benchmarks/msam/stages.jsonl`, which `benchmarks/msam/stages.py`
writes.
"""


def table(rows: list[dict]) -> str:
    """The Markdown between the marks; the last model's rows count."""
    if not rows:
        return "Not measured yet.\n"
    model, case = rows[-1]["model"], rows[-1]["case"]
    # Of several runs the last one counts.
    found = {(r["way"], r["stage"], r["seed"]): r["dice"] for r in rows if (r["model"], r["case"]) == (model, case)}
    ways = list(dict.fromkeys(way for way, _, _ in found))
    stages = [stage for stage in SHOWN if any(key[1] == stage for key in found)]
    lines = [
        "| begins from | " + " | ".join(f"stage {stage}" for stage in stages) + " |",
        "| --- |" + " --- |" * len(stages),
    ]
    for way in ways:
        cells = []
        for stage in stages:
            values = [dice for (other, at, _), dice in found.items() if (other, at) == (way, stage)]
            cells.append(f"{mean(values):.3f} ({min(values):.3f})")
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    seeds = len({seed for _, _, seed in found})
    return _ABOUT.format(model=model, case=case, seeds=seeds) + "\n" + "\n".join(lines) + "\n"


def page(text: str, rows: list[dict]) -> str:
    """The page with the table of these rows."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table(rows) + END + rest.split(END)[1]


def main() -> None:
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.is_file() else []
    rows = [json.loads(line) for line in lines]
    write_text_atomic(PAGE, page(PAGE.read_text(encoding="utf-8"), rows))


if __name__ == "__main__":
    main()
