"""The section of docs/results.md on annotation efficiency, from results.jsonl and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import mean
from textwrap import fill

from . import table_patients
from .cells import ONE_PATIENT
from .methods import COUNTS, METHODS, QUICKER
from .rows import Row

PLOT = "images/annotation_efficiency.png"
TITLE = "## How many labelled slices it takes"
_ABOUT = """
Made by `python benchmarks/annotation_efficiency` (rows in `benchmarks/annotation_efficiency/results.jsonl`). All
training slices come from one patient, ircadb17 (thinned to about 3 mm); no weights trained on it are shipped.
Every method gets the same data: a given number of masks, spread evenly over the liver, and for every slice of the
patient whether it shows the liver. A fifth of the masks is held back for early stopping. SAM-Mix uses slices without a
mask through their image-level label, pseudo-labels and consistency; U-Net and SegResNet use only those without liver,
whose masks are known to be empty. SAM-PP uses the masks only to decide when to stop. U-Net and SegResNet get six pairs
of views per slice, SAM-Mix one, since each has to be encoded. The tests are whole volumes of other patients in 3-D:
amos0001 and lits117 (labels by a person), totalseg_slab and totalseg_example (labels by another network), crlm1004
(ours: LiteMedSAM's masks, corrected, which flatters methods on LiteMedSAM). All SAM rows are segmented as the product
does, with boxes refitted and followed. With oracle boxes the map is still the mask prompt. Where it misses a lobe that
the box includes, prompt and box contradict each other, and the mask can be worse than with the map's own box; but where
the map misses most of the box, the box alone counts, as for any box that a person sets. All train in bfloat16. SAM-Mix
trains for at most {steps} steps, fewer than by default; with 10 slices it was still improving on its held-back slices
at the last of them. U-Net and SegResNet train until eight checks, 25 steps apart, bring no gain. With one training
patient, few test cases and few seeds, a difference of some hundredths means little.
"""
_NONE = "Nothing is measured yet."
_PAPER = """
For comparison the paper's own figures (Dice / Hausdorff distance): labelled slices of many patients of LiTS, tested on
LiTS and on TotalSegmentator.
"""
_WHOLE = "sammix_embedding"
_PARTS = """
Mean Dice over the cases, compared with SAM-Mix with the embedding CAM, as many slices and the same seeds; in brackets
how many cases differ by more than 0.01. With one training patient, none of the three parts pays on other patients with
automatic boxes, in the mean of three seeds. A map that has learnt from one patient is a poor mask prompt for
others: without it the decoder does as well or better with automatic and with oracle boxes, most clearly with 50 slices.
LiteMedSAM's own decoder (SAM-PP, oracle boxes) is hard to beat with one patient's slices, and that patient's slices
without a mask show nothing that those with one do not. The default keeps all three parts, as the paper has them:
it may not be chosen by these cases. LoRA gains with few slices and with many, by one seed; in models of
several patients it does not ([discussed here](decisions/lora.md)). The map is there for the boxes; in this, the paper's
Grad-CAM, which never sees a mask, stays far behind with one patient. Nor does it gain from how SAMMix tells
the organ from other boxed regions, by how sure the map is inside a mask: Grad-CAM's maps are stretched slice by
slice and are sure everywhere. For that reason SAM-PP lost lits117 with 5 slices, and won on totalseg_example with 50.
"""
_PROTOCOL = """
Do not compare the figures directly. The paper trains SAM ViT-B with LoRA on a GPU, on slices of many patients that
all carry an image-level label and of which the given number carry a mask; it scores slices of the middle 30 % of each
volume, and it is not known whether its test boxes are found or taken from the label (its successor takes them
from the label). Here there are one to twelve training patients, two CPU cores train LiteMedSAM with a frozen encoder,
and the scores are for whole volumes with boxes that were found, slices without liver included.
"""
# METHOD: SAM-Mix, arXiv 2412.08575, as the paper gives them.
PAPER = (
    ("U-Net", ".897 / 13.50", ".669 / 29.59"),
    ("nnU-Net", ".863 / 21.41", ".645 / 38.50"),
    ("TransU-Net", ".889 / 12.68", ".642 / 42.80"),
    ("MultiMix", ".627 / 21.47", ".159 / 97.98"),
    ("SAM-PP-0 / -5 / -50 / -100, Dice", ".441 / .754 / .726 / .763", ".334 / .593 / .579 / .605"),
    ("SAM-Mix-5", ".919 / 15.14", ".807 / 17.57"),
    ("SAM-Mix-50", ".948 / 9.84", ".923 / 11.16"),
    ("SAM-Mix-100", ".941 / 14.67", ".921 / 12.93"),
)


def section(rows: list[Row]) -> str:
    """The whole section, without a blank line at its end."""
    one_patient = [row for row in rows if row.protocol == ONE_PATIENT]
    parts = [
        TITLE,
        _wrapped(table_patients.for_a_radiologist(rows)),
        "### Masks of three patients or one, image-level labels of the others",
        _wrapped(table_patients.ABOUT),
        *table_patients.parts(rows),
        "### All slices of one patient",
        _wrapped(_ABOUT.format(steps=QUICKER["steps"])),
        *(_one_patient(one_patient) if one_patient else [_NONE]),
        "### Both beside the paper",
        "\n".join(table_patients.beside_the_paper(rows)),
        _wrapped(_PAPER),
        "\n".join(
            ["| model | LiTS | TotalSegmentator |", "| --- | --- | --- |"] + [f"| {' | '.join(p)} |" for p in PAPER]
        ),
        _wrapped(_PROTOCOL),
    ]
    return "\n\n".join(parts)


def _one_patient(rows: list[Row]) -> list[str]:
    """The parts on the protocol `one_patient`."""
    cases = sorted({(row.case, row.label_origin) for row in rows})
    return [
        f"![Dice over labelled slices]({PLOT})",
        "#### Automatic boxes: mean Dice over the cases, mean of the seeds",
        "\n".join(count_table(rows, "auto", len(cases))),
        "#### Oracle boxes, one patient",
        "\n".join(count_table(rows, "oracle", len(cases))),
        "#### What each part is worth",
        _wrapped(_PARTS),
        "\n".join(worth(rows)),
        "#### Case by case",
        "\n".join(case_table(rows, cases)),
        "#### Where a baseline wins",
        "\n".join(wins(rows)),
        "#### Not measured with one patient",
        "\n".join(absent(rows, [name for name, _ in cases])),
    ]


def by_count(rows: Iterable[Row], method: str, count: int, boxes: str) -> dict[str, list[Row]]:
    """Rows of a method at a count, by case."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if (row.method, row.boxes) == (method, boxes) and row.labelled_slices == count:
            found.setdefault(row.case, []).append(row)
    return found


def mean_dice(found: dict[str, list[Row]]) -> float | None:
    """Mean over the cases of the means over the seeds; an empty pair of masks has none."""
    each = [mean(known) for rows in found.values() if (known := [r.dice for r in rows if r.dice is not None])]
    return mean(each) if each else None


def count_table(rows: list[Row], boxes: str, cases: int) -> list[str]:
    """One line a method, one column a count; how many cases and seeds where not all are there."""
    lines = [f"| method | {' | '.join(f'{count} slices' for count in COUNTS)} |", "| --- |" + " --- |" * len(COUNTS)]
    for name, method in METHODS.items():
        cells = [_cell(by_count(rows, name, count, boxes), cases) for count in COUNTS]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {method.title} | {' | '.join(cells)} |")
    return lines if len(lines) > 2 else [_NONE]


def _cell(found: dict[str, list[Row]], cases: int) -> str:
    value = mean_dice(found)
    if value is None:
        return "-"
    seeds = len({row.seed for own in found.values() for row in own})
    notes = [f"{seeds} seeds"] if seeds > 1 else []
    notes += [f"{len(found)} of {cases} cases"] if len(found) < cases else []
    return f"{value:.3f}" + (f" ({', '.join(notes)})" if notes else "")


def case_table(rows: list[Row], cases: list[tuple[str, str]]) -> list[str]:
    """Automatic boxes at the fewest and at the most slices, case by case, with HD95 where the spacing is known."""
    few, many = COUNTS[0], COUNTS[-1]
    lines = [
        "| method | slices | " + " | ".join(f"{name} (label: {origin})" for name, origin in cases) + " |",
        "| --- | --- |" + " --- |" * len(cases),
    ]
    for name, method in METHODS.items():
        for count in (few, many):
            found = by_count(rows, name, count, "auto")
            if found:
                cells = [_figures(found.get(case, [])) for case, _ in cases]
                lines.append(f"| {method.title} | {count} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "Dice, then HD95 in mm and surface Dice at 2 mm where the spacing is known; means of the seeds.",
    ]


def _figures(rows: list[Row]) -> str:
    if not rows:
        return "-"
    keys: list[tuple[Callable[[Row], float | None], int]] = [
        (lambda row: row.dice, 3),
        (lambda row: row.hd95_mm, 1),
        (lambda row: row.surface_dice_2mm, 3),
    ]
    shown = []
    for take, digits in keys:
        known = [value for row in rows if (value := take(row)) is not None]
        shown += [f"{mean(known):.{digits}f}"] if known else []
    return " / ".join(shown) or "-"


def wins(rows: list[Row]) -> list[str]:
    """The cases where U-Net or SegResNet is better than SAM-Mix with the embedding CAM, automatic boxes."""
    lines = []
    for name in ("unet", "segresnet"):
        for count in COUNTS:
            own, best = by_count(rows, name, count, "auto"), by_count(rows, "sammix_embedding", count, "auto")
            for case in sorted(own.keys() & best.keys()):
                baseline, ours = mean_dice({case: own[case]}), mean_dice({case: best[case]})
                if baseline is not None and ours is not None and baseline > ours:
                    title = METHODS[name].title
                    lines.append(f"- {title} with {count} slices on {case}: {baseline:.3f} against {ours:.3f}.")
    return lines or ["On no case that both were measured on."]


def worth(rows: list[Row]) -> list[str]:
    """What leaving a part of SAM-Mix out (or LoRA in) changes, on the cases and seeds that both were measured on."""
    lines = []
    for name, method in METHODS.items():
        for count in COUNTS if name.startswith(f"{_WHOLE}_") else ():
            changes = [_change(rows, name, count, boxes) for boxes in ("auto", "oracle")]
            if None not in changes:
                lines.append(f"| {method.title} | {count} | {' | '.join(str(one) for one in changes)} |")
    if not lines:
        return [_NONE]
    return ["| changed | slices | automatic boxes | oracle boxes |", "| --- | --- | --- | --- |", *lines]


def _change(rows: list[Row], name: str, count: int, boxes: str) -> str | None:
    """Mean difference of Dice from the whole method, how many cases get better or worse by a point, and seeds."""
    own, whole = (
        {(row.case, row.seed): row.dice for found in by_count(rows, method, count, boxes).values() for row in found}
        for method in (name, _WHOLE)
    )
    changes: dict[str, list[float]] = {}
    for case, seed in sorted(own.keys() & whole.keys()):
        one, other = own[case, seed], whole[case, seed]
        if one is not None and other is not None:
            changes.setdefault(case, []).append(one - other)
    if not changes:
        return None
    each = [mean(found) for found in changes.values()]
    better, worse = sum(one > 0.01 for one in each), sum(one < -0.01 for one in each)
    return f"{mean(each):+.3f} ({better} better, {worse} worse)"


def absent(rows: list[Row], cases: list[str]) -> list[str]:
    """What the plan has and the file does not."""
    there = {(row.method, row.labelled_slices, row.seed, row.case) for row in rows if row.boxes == "auto"}
    lines = []
    for name, method in METHODS.items():
        missing = []
        for seed in method.seeds:
            for count in method.counts:
                left = [case for case in cases if (name, count, seed, case) not in there]
                if left:
                    where = "" if len(left) == len(cases) else f" on {', '.join(left)}"
                    missing.append(f"{count} slices, seed {seed}{where}")
        if missing:
            lines.append(f"- {method.title.lstrip('- ')}: {'; '.join(missing)}.")
    return lines or ["All that was planned is measured."]


def _wrapped(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_on_hyphens=False, break_long_words=False)
