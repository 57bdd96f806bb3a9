"""The section of docs/results.md on refining slices stage by stage, from refiner/results.jsonl alone."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median
from textwrap import fill
from typing import Any

REFINED = Path(__file__).resolve().parent / "refiner" / "results.jsonl"
TITLE = "## Refining slices stage by stage"
_LIVER = """
Made by `python benchmarks/refiner/by_stage.py liver CASE` (rows in `benchmarks/refiner/results.jsonl`). M-SAM's adapter
on the LiteMedSAM embedding, trained by `benchmarks/refiner/train_refiner.py`, refines the automatic masks of the liver;
stage 0 is the mask before. Earlier versions: liver-refiner/0.1.0 was shipped with liver/1.1.0;
liver-refiner-without-crlm1004 and the decoder below it were
trained without that patient, which is measured on labelled slices. ircadb17 and amos0001 are validation cases that
nothing was tuned on; lits117, a development case, has lost its spacing, so it has no millimetres. Slices are
refined as they are decoded, and thin ones between two are still interpolated from those. Seconds are for all masks, on
two cores that were also busy with other things.
"""
_LESION = """
Made by `python benchmarks/refiner/by_stage.py lesion CASE`. *Grown*: what an oracle's click grew by density in the
reference's liver (stage 0), then refined slice by slice, either without further clicks or with one more click per stage
where the mask is most wrong, on that slice alone; *empty*: such clicks alone. *Found* at an overlap (IoU) of 0.1 and of
0.5. The refiner learnt from lesions drawn into five livers and from the two of crlm1004, which is therefore a training
case. Its starting point was chosen on lits117. All lesions are refined here; the commands leave small ones as they are
([why](decisions/refining-slices.md)). Where a lesion has no row at a stage (no click was left to make), its last row
counts.
"""
Row = dict[str, Any]


def section(rows: list[Row]) -> str:
    """The whole section, without a blank line at its end; of several rows alike the last one counts."""
    liver, lesion = _of_liver(rows), _of_lesions(rows)
    parts = [TITLE]
    parts += [_wrapped(_LIVER), "\n".join(liver_lines(rows))] if liver else ["The liver: not measured yet."]
    parts += [_wrapped(_LESION), "\n".join(lesion_lines(rows))] if lesion else ["Lesions: not measured yet."]
    single = _few(lesion)
    return "\n\n".join([*parts, "Each lesion by itself, Dice by stage:", "\n".join(single)] if single else parts)


def _of_liver(rows: list[Row]) -> dict[Any, Row]:
    return {(r["refiner"], r["case"], r["stage"]): r for r in rows if r["target"] == "liver"}


def _of_lesions(rows: list[Row]) -> dict[Any, Row]:
    return {(r["case"], r["way"], r["lesion"], r["stage"]): r for r in rows if r["target"] == "lesion"}


def liver_lines(rows: list[Row]) -> list[str]:
    """A table of the liver's rows."""
    lines = [
        "| case | refiner | stage | Dice | HD95 mm | surface Dice 2 mm | s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    own = _of_liver(rows)
    for refiner, case, stage in sorted(own, key=lambda key: (key[1], key[0], key[2])):
        row = own[refiner, case, stage]
        in_mm = (
            [f"{row['hd95_mm']:.2f}", f"{row['surface_dice_2mm']:.4f}"] if row["hd95_mm"] is not None else ["-", "-"]
        )
        figures = " | ".join([f"{row['dice']:.4f}", *in_mm])
        lines.append(f"| {case} | {refiner} | {stage} | {figures} | {row['seconds']:.0f} |")
    return lines


def lesion_means(rows: list[Row]) -> list[Row]:
    """What all lesions of a case came to, a row for each way and stage."""
    own = _of_lesions(rows)
    found = []
    for case, way in dict.fromkeys((case, way) for case, way, *_ in own):
        for stage, lesions in enumerate(_by_stage(own, case, way)):
            dice = [row["dice"] for row in lesions.values()]
            hits = {f"found_{least}": sum(row["iou"] >= least for row in lesions.values()) for least in (0.1, 0.5)}
            head = {"case": case, "way": way, "stage": stage, "lesions": len(dice), **hits}
            found.append({**head, "dice_mean": round(mean(dice), 4), "dice_median": round(median(dice), 4)})
    return found


def lesion_lines(rows: list[Row]) -> list[str]:
    """A table of the lesions' rows."""
    lines = [
        "| case | begins from | stage | lesions | found (0.1 / 0.5) | Dice: mean, median |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in lesion_means(rows):
        dice = f"{row['dice_mean']:.3f}, {row['dice_median']:.3f}"
        hits = f"{row['found_0.1']} / {row['found_0.5']}"
        lines.append(f"| {row['case']} | {row['way']} | {row['stage']} | {row['lesions']} | {hits} | {dice} |")
    return lines


def _by_stage(rows: dict[Any, Row], case: str, way: str) -> list[dict[int, Row]]:
    """For each stage the rows of all lesions; one that stopped earlier counts with its last row."""
    own = {(lesion, stage): row for (c, w, lesion, stage), row in rows.items() if (c, w) == (case, way)}
    found = []
    for stage in range(max(stage for _, stage in own) + 1):
        before = found[-1] if found else {}
        found.append({**before, **{lesion: row for (lesion, at), row in own.items() if at == stage}})
    return found


def _few(rows: dict[Any, Row], most: int = 5) -> list[str]:
    """Lines of cases with few lesions."""
    lines = []
    for case, way in dict.fromkeys((case, way) for case, way, *_ in rows):
        stages = _by_stage(rows, case, way)
        for lesion in stages[0] if len(stages[-1]) <= most else ():
            shown = ", ".join(f"{lesions[lesion]['dice']:.3f}" for lesions in stages)
            lines.append(f"- {case}, lesion {lesion}, {way}: {shown}")
    return lines


def _wrapped(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_on_hyphens=False, break_long_words=False)
