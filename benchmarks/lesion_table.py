"""The section of docs/results.md on M-SAM and lesions, from msam/stages.jsonl and lesion_model/results.jsonl alone."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, median
from textwrap import fill
from typing import Any

from lesion_cam_table import cam_lines

HERE = Path(__file__).resolve().parent
STAGES = HERE / "msam" / "stages.jsonl"
LESIONS = HERE / "lesion_model" / "results.jsonl"
TITLE = "## M-SAM, and lesions in the liver"
_FEW = 5  # lesions of a case that are listed one by one
_SHOWN = (0, 1, 2, 3, 5, 8, 11)
_STAGES = """
Made by `python benchmarks/msam/stages.py benchmarks/msam/demo.yaml` (rows in `benchmarks/msam/stages.jsonl`). Dice of
the compact M-SAM {model} on the one case that it was trained on, {case}, after the main stage (1) and the refining
stages (2 to 11); 0 is the start. Mean over {seeds} draws of the clicks, the lowest in brackets. A memorised case
shows that the stages work together, and nothing about new patients. The paper claims that 20 % of
the parameters are trained: it is 21.1 % of the full network, counted by a test. We did not measure its Dice on lesions:
the weights of SAM-Med3D could not be fetched here, and there are hardly any lesions to train on.
"""
_LESIONS = """
Made by `python benchmarks/lesion_model/evaluate.py` (rows in `benchmarks/lesion_model/results.jsonl`). No weights are
involved: lesions are grown by density. *Click* is an oracle's, at the deepest voxel of each lesion; *candidates* need
no click. *Found* and *false positives* are counted lesion by lesion, at an overlap (IoU) of 0.1 and of 0.5. crlm1004
has labels of this project (two lesions, one of them hardly visible); the method was chosen on lits117, which flatters
its figures; ircadb17 was read when the method was fixed, and again, with the same figures, after a change for
thick slices. Three patients allow no claim by size or kind. 3D-IRCADb and LiTS
share patients. In lits117 lesions touch and merge, and its spacing is lost.
"""
Row = dict[str, Any]


def read_rows(file: Path) -> list[Row]:
    """All rows; none where there is no file."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def section(stages: list[Row], lesions: list[Row]) -> str:
    """The whole section, without a blank line at its end; of several rows alike the last one counts."""
    parts = [TITLE, *_stages(stages), *_lesions(lesions)]
    return "\n\n".join(parts)


def _stages(rows: list[Row]) -> list[str]:
    if not rows:
        return ["Dice by stage: not measured yet."]
    model, case = rows[-1]["model"], rows[-1]["case"]
    found = {(r["way"], r["stage"], r["seed"]): r["dice"] for r in rows if (r["model"], r["case"]) == (model, case)}
    stages = [stage for stage in _SHOWN if any(key[1] == stage for key in found)]
    lines = ["| begins from | " + " | ".join(f"stage {n}" for n in stages) + " |", "| --- |" + " --- |" * len(stages)]
    for way in dict.fromkeys(way for way, _, _ in found):
        cells = []
        for stage in stages:
            values = [dice for (other, at, _), dice in found.items() if (other, at) == (way, stage)]
            cells.append(f"{mean(values):.3f} ({min(values):.3f})")
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    seeds = len({seed for _, _, seed in found})
    return [_wrapped(_STAGES.format(model=model, case=case, seeds=seeds)), "\n".join(lines)]


def _lesions(rows: list[Row]) -> list[str]:
    if not rows:
        return ["Lesions: not measured yet."]
    cam = cam_lines(rows)
    rows = [row for row in rows if row["way"] in ("click", "candidates")]
    last = {(r["case"], r["liver"], r["way"], r.get("lesion"), r["iou"] if "lesions" in r else 0): r for r in rows}
    kinds = list(dict.fromkeys((case, liver) for case, liver, *_ in last))
    lines = [
        "| case | liver's mask | way | lesions | found (0.1 / 0.5) | false positives (same) | Dice: mean, median |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, liver in kinds:
        own = [row for (c, m, *_), row in last.items() if (c, m) == (case, liver)]
        lines += [_click_line(case, liver, [r for r in own if r["way"] == "click"])]
        lines += [_candidates_line(case, liver, [r for r in own if r["way"] == "candidates"])]
    few = [case for case in dict.fromkeys(case for case, _ in kinds) if _count(last, case) <= _FEW]
    single = [_each(row) for row in last.values() if row["way"] == "click" and row["case"] in few]
    parts = [_wrapped(_LESIONS), "\n".join(lines), "Each lesion by a click:", "\n".join(single)]
    if cam is not None:
        parts += [_wrapped(cam[0]), "\n".join(cam[1])]
    return [part for part in (*parts, _missing(kinds, cam is not None)) if part]


def _count(last: dict[Any, Row], case: str) -> int:
    return len({row["lesion"] for row in last.values() if row["case"] == case and row["way"] == "click"})


def _click_line(case: str, liver: str, rows: list[Row]) -> str:
    hits = " / ".join(str(sum(row["iou"] >= least for row in rows)) for least in (0.1, 0.5))
    dice = [row["dice"] for row in rows]
    return f"| {case} | {liver} | click | {len(rows)} | {hits} | - | {mean(dice):.3f}, {median(dice):.3f} |"


def _candidates_line(case: str, liver: str, rows: list[Row]) -> str:
    rows = sorted(rows, key=lambda row: row["iou"])
    hits, wrong = (" / ".join(str(row[key]) for row in rows) for key in ("found", "false_positives"))
    dice = list(rows[0]["dice"].values())
    shown = f"{mean(dice):.3f}, {median(dice):.3f} (of those found)" if dice else "-"
    return f"| {case} | {liver} | candidates | {rows[0]['lesions']} | {hits} | {wrong} | {shown} |"


def _each(row: Row) -> str:
    size = f"{row['voxels']} voxels" if row["ml"] is None else f"{row['ml']:.1f} mL"
    said = "the click was refused: nothing stands out there" if "refused" in row else f"Dice {row['dice']:.3f}"
    return f"- {row['case']}, liver by {row['liver']}, lesion {row['lesion']} ({size}): {said}"


def _missing(kinds: list[tuple[str, str]], has_cam: bool) -> str:
    missing = [case for case in ("lits117", "ircadb17") if (case, "model") not in kinds]
    text = "" if has_cam else "A lesion CAM is trained nowhere and so not measured."
    if missing:
        text += f" Not measured yet with the model's own mask of the liver: {', '.join(missing)}."
    return _wrapped(text)


def _wrapped(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_on_hyphens=False, break_long_words=False)
