"""The section of docs/results.md on fine-tuning, from finetune.jsonl and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

RESULTS = Path(__file__).with_name("finetune.jsonl")
TITLE = "## What fine-tuning takes and gives"
_ABOUT = """
Made by `python benchmarks/finetune.py` (rows in `benchmarks/finetune.jsonl`); [what a run does](finetuning.md).
"""
_TIME = """
Ten corrected slices of crlm1004, some held back, with the shipped model as parent: seconds of the whole run on a CPU.
"""
_KIDNEY = """
A structure that the parent does not know. There is one patient, whose slices are alike, so this only shows that the
mechanism works; it says nothing about another patient's kidney.
"""
_ADAPT = """
The shipped model after learning from some slices of one patient. *Held-back slices* and *others of the volume* are from
the same patient, which flatters; cases of a *check folder* are other patients, and a drop there means that the model
forgot something. The verdict uses held-back slices and the check folder. All corrected slices here show the organ, so
it cannot see what changes on slices without it. The guidance head therefore does not change unless better boxes
pay: when it changed together with the decoder, the other slices of lits117 fell and the verdict still said better
([why](decisions/gentle-finetuning.md)).
"""
Row = dict[str, Any]


def read_rows(file: Path = RESULTS) -> list[Row]:
    """All rows; none where there is no file."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def section(rows: list[Row]) -> str:
    """The whole section, without a blank line at its end; of several rows alike the last one counts."""
    parts = [TITLE, _wrapped(_ABOUT)]
    time = list({row["cached_embeddings"]: row for row in rows if row["what"] == "time"}.values())
    kidney = [row for row in rows if row["what"] == "kidney"][-1:]
    adapted = list({(row["case"], row["learnt"]): row for row in rows if row["what"] == "adapt"}.values())
    if time:
        parts += ["### How long it takes", _wrapped(_TIME), "\n".join(_time_table(time))]
    if kidney:
        parts += ["### A new structure: the right kidney", _wrapped(_KIDNEY), _kidney(kidney[0])]
    if adapted:
        parts += ["### Learning one patient, and what is forgotten", _wrapped(_ADAPT)]
        parts += ["\n".join(_adapted_table(row)) for row in adapted]
    names = {"how long a run takes": time, "a new structure": kidney, "adapting to one patient": adapted}
    missing = [name for name, found in names.items() if not found]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n\n".join(parts)


def _time_table(rows: list[Row]) -> list[str]:
    lines = [
        "| embeddings | learnt / held back | seconds | of processor | cores | load of the machine |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [
            "cached" if row["cached_embeddings"] else "computed",
            f"{row['learnt']} / {row['held_back']}",
            f"{row['seconds']:.0f}",
            f"{row['processor_seconds']:.0f}",
            str(row["cores"]),
            f"{row['load_average']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _kidney(row: Row) -> str:
    figures = "; ".join(f"{label}: {after:.3f}" for label, (_, after) in row["dice"].items())
    return _wrapped(
        f"Learnt from {row['learnt']} slices of {row['case']} (label: {row['label_origin']}), Dice on its "
        f"{len(row['test_slices'])} others: {figures}; segmented as a volume, {row['volume_dice_auto']:.3f}."
    )


def _adapted_table(row: Row) -> list[str]:
    volume = row["volume_dice_auto"]
    lines = [
        _wrapped(
            f"{row['learnt']} slices of {row['case']} (label: {row['label_origin']}), verdict: {row['verdict']}. "
            f"Of the way to the trained weights the decoder went {row['decoder_share']:.0%}, the guidance head "
            f"{row['head_share']:.0%}."
        ),
        "",
        "| Dice | before | after |",
        "| --- | --- | --- |",
        *(f"| {label} | {before:.3f} | {after:.3f} |" for label, (before, after) in row["dice"].items()),
        f"| others of the volume, automatic boxes | {volume['before']:.3f} | {volume['after']:.3f} |",
    ]
    for one in row["figures"]:
        if one["group"] == "check":
            lines.append(f"| {one['case']}, {one['boxes']} boxes | {one['before']:.3f} | {one['after']:.3f} |")
    return lines


def _wrapped(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_on_hyphens=False, break_long_words=False)
