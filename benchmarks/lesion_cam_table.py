"""What the lesion CAM is worth, for docs/results.md, from lesion_model/results.jsonl alone."""

from __future__ import annotations

from itertools import product
from typing import Any

_CHOSEN_ON = "lits117"
_TEXT = """
A lesion CAM (the embedding guidance with lesions as its target, `benchmarks/lesion_model/train.py`) was trained on
crlm1004's two lesions and on lesions drawn into five livers; `python benchmarks/lesion_model/cam.py` measures what it
gives. *CAM alone* is what lies above 0.5 in the liver. *Sorts* is the share of pairs of a true and a false candidate
by density in which the CAM ranks the true one higher (0.5 is chance), beside that of their size, which needs no
network. *With a cut* leaves out candidates whose mean on the map lies below {cut:.4f}, the highest value
that loses no true one of {chosen}; so there it flatters. crlm1004 is a training case.
"""
Row = dict[str, Any]


def cam_lines(rows: list[Row]) -> tuple[str, list[str]] | None:
    """The text and the lines of the table; None where nothing was measured.

    Args:
        rows: Of all ways; of several rows alike the last one counts.
    """
    alone = {(r["case"], r["liver"], r["iou"]): r for r in rows if r["way"] == "cam"}
    scored = {(r["case"], r["liver"]): r for r in rows if r["way"] == "score"}
    if (_CHOSEN_ON, "reference") not in scored:
        return None
    cut = cut_of(scored[_CHOSEN_ON, "reference"]["candidates"])
    lines = [
        "| case | liver's mask | CAM alone: found, false (0.1 / 0.5) | CAM sorts (0.1 / 0.5) | size sorts "
        "| by density: found, false | with a cut: found, false |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (case, liver), row in scored.items():
        own = [alone[case, liver, least] for least in (0.1, 0.5)]
        cam = f"{own[0]['found']} / {own[1]['found']}, {own[0]['false_positives']} / {own[1]['false_positives']}"
        listed = row["candidates"]
        sorts, sizes = (
            " / ".join(_share(sorting(listed, least, key)) for least in (0.1, 0.5)) for key in ("score", "voxels")
        )
        before, after = (_counts([one for one in listed if one["score"] >= least]) for least in (0.0, cut))
        lines.append(f"| {case} | {liver} | {cam} | {sorts} | {sizes} | {before} | {after} |")
    return _TEXT.format(cut=cut, chosen=_CHOSEN_ON), lines


def cut_of(listed: list[Row]) -> float:
    """The highest cut that loses no true candidate at an overlap of 0.1."""
    return min((one["score"] for one in listed if one["hit_0.1"]), default=0.0)


def sorting(listed: list[Row], least: float, key: str) -> float | None:
    """The share of pairs that are in the right order; ties count a half. None where one kind is missing."""
    true = [one[key] for one in listed if one[f"hit_{least}"]]
    false = [one[key] for one in listed if not one[f"hit_{least}"]]
    pairs = [(one > other) + 0.5 * (one == other) for one, other in product(true, false)]
    return sum(pairs) / len(pairs) if pairs else None


def _counts(listed: list[Row]) -> str:
    hits = [sum(one[f"hit_{least}"] for one in listed) for least in (0.1, 0.5)]
    return f"{hits[0]} / {hits[1]}, {len(listed) - hits[0]} / {len(listed) - hits[1]}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
