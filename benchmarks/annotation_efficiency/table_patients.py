"""What docs/results.md says of the protocol `patients`, from the rows and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from .cells import CEILING, ONE_PATIENT, PATIENTS, WHOLE, WITHOUT, Cell, planned
from .methods import METHODS
from .rows import Row

NOT_MEASURED = "*not measured*"
CASES = ("ircadb17", "amos0001", "lits117", "tace0697", "tace1211")
# Masks and patients, a column each
_COLUMNS = ((5, 3), (10, 3), (20, 3), (50, 3), (5, 1), (20, 1))
_ENOUGH = 0.01
# Method without it, what it is, and what it is to be worth at least
_OTHERS = (
    ("sammix_embedding_no_mask_prompt", "The mask prompt", -0.002),
    ("sammix_embedding_decoder_untrained", "The decoder's training", -0.002),
    ("sammix_resnet38", "Against ResNet-38's Grad-CAM", 0.0),
    ("unet", "Against U-Net", 0.0),
    ("segresnet", "Against SegResNet", 0.0),
    ("sam_pp", "Against SAM-PP", 0.0),
)
Draws = list[float]  # mean Dice over the cases, of each draw

ABOUT = """
The paper's protocol on free data: of the twelve patients (17 volumes) behind liver/2.0, three or one have masks, spread
evenly over the liver of one volume each; of every slice of all twelve it is known whether it shows the liver. Who is
labelled is drawn three times, nobody twice, and the seed goes with the draw; the one patient of a draw is the first of
its three. A fifth of the masks is held back for early stopping. Without unlabelled patients, only the labelled
patients' slices with a mask or without liver are left. The ceiling has all masks of all twelve. Views are encoded by
the int8 encoder, as in use; the training views of liver/2.0 take no part beyond the plain ones, since they were drawn
with the mask. The tests are the whole volumes of ircadb17, amos0001, lits117, tace0697 and tace1211, with labels by
persons, patients of none of the twelve; amos0001, lits117 and ircadb17 may have been seen by LiteMedSAM. SAM-Mix trains
for at most 140 steps; U-Net and SegResNet until eight checks, 25 steps apart, bring no gain, with six pairs of views
per slice.
"""
# METHOD: SAM-Mix, arXiv 2412.08575: Dice on LiTS and on TotalSegmentator, as the paper gives them.
_PAPER_DICE = {
    (WHOLE, 5): (".919", ".807"),
    (WHOLE, 50): (".948", ".923"),
    ("sam_pp", 5): (".754", ".593"),
    ("sam_pp", 50): (".726", ".579"),
}


def draws_of(rows: Sequence[Row], cell: Cell, boxes: str) -> Draws:
    """Mean Dice over the cases in each draw of a cell that is measured on all of them, its own draw aside."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        same = (row.cell.protocol, row.method, row.cell.labelled_slices, row.patients_labelled) == (
            *(cell.protocol, cell.method, cell.labelled_slices, cell.patients_labelled),
        )
        if same and row.boxes == boxes and row.case in CASES and row.dice is not None:
            found.setdefault(row.draw, {})[row.case] = row.dice
    return [mean(cases.values()) for _, cases in sorted(found.items()) if len(cases) == len(CASES)]


def parts(rows: Sequence[Row]) -> list[str]:
    """The parts of the page, without the paper's table."""
    return [
        "#### Automatic boxes: mean Dice over the five volumes, mean of the draws",
        "\n".join(table(rows, "auto")),
        "#### Oracle boxes",
        "\n".join(table(rows, "oracle")),
        "#### What was aimed at",
        "\n".join(aims(rows)),
    ]


def table(rows: Sequence[Row], boxes: str) -> list[str]:
    """One line a method, one column a number of masks and patients."""
    titles = [f"{count} of {patients} patient{'s' if patients > 1 else ''}" for count, patients in _COLUMNS]
    lines = [f"| method | {' | '.join(titles)} |", "| --- |" + " --- |" * len(titles)]
    cells = planned()
    for name in dict.fromkeys(cell.method for cell in cells):
        if METHODS[name].network != "sammix" and boxes == "oracle":
            continue
        own = [cell for cell in cells if cell.method == name]
        title = METHODS[name].title.replace("unlabelled slices", "unlabelled patients")
        if name == CEILING:
            lines.append(f"| {title} | {_shown(rows, own, boxes)} |" + " |" * (len(titles) - 1))
            continue
        columns = [[c for c in own if (c.labelled_slices, c.patients_labelled) == column] for column in _COLUMNS]
        lines.append(f"| {title} | {' | '.join(_shown(rows, column, boxes) for column in columns)} |")
    return lines


def _shown(rows: Sequence[Row], cells: Sequence[Cell], boxes: str) -> str:
    """The mean of the draws, with the least and the largest; how many there are where some are missing."""
    if not cells:
        return ""
    draws = draws_of(rows, cells[0], boxes)
    if not draws:
        return NOT_MEASURED
    notes = [f"{min(draws):.3f} to {max(draws):.3f}"] if len(draws) > 1 else []
    notes += [f"{len(draws)} of {len(cells)} draws"] if len(draws) < len(cells) else []
    return f"{mean(draws):.3f}" + (f" ({', '.join(notes)})" if notes else "")


def mean_of(
    rows: Sequence[Row], method: str, count: int | None, patients: int = 3, boxes: str = "auto"
) -> float | None:
    """The mean of the draws; None where nothing is measured."""
    draws = draws_of(rows, Cell(PATIENTS, method, count, patients, 0), boxes)
    return mean(draws) if draws else None


def ceiling(rows: Sequence[Row]) -> float | None:
    """With all masks of all patients, automatic boxes."""
    cell = next(cell for cell in planned() if cell.method == CEILING)
    return mean_of(rows, CEILING, None, cell.patients_labelled)


def aims(rows: Sequence[Row]) -> list[str]:
    """Each aim with what was measured, and whether it was reached; means of the draws, automatic boxes."""
    top = ceiling(rows)
    lines = [
        _aim(f"{count} masks against the ceiling", mean_of(rows, WHOLE, count), top, -least)
        for count, least in ((5, 0.010), (50, 0.003))
    ]
    for count, least in ((5, 0.010), (10, 0.010), (20, -0.002), (50, -0.002)):
        own, other = mean_of(rows, WHOLE, count), mean_of(rows, WITHOUT, count)
        lines.append(_aim(f"Unlabelled patients, {count} masks", own, other, least))
    for name, what, least in _OTHERS:
        for count in (5, 50):
            own, other = mean_of(rows, WHOLE, count), mean_of(rows, name, count)
            lines.append(_aim(f"{what}, {count} masks", own, other, least))
    return ["| what | Dice gained | aim | reached |", "| --- | --- | --- | --- |", *lines]


def _aim(what: str, own: float | None, other: float | None, least: float) -> str:
    aim = f"{least:+.3f} or more"
    if own is None or other is None:
        return f"| {what} | {NOT_MEASURED} | {aim} | |"
    gained = own - other
    return f"| {what} | {gained:+.3f} | {aim} | {'yes' if gained >= least else 'no'} |"


def for_a_radiologist(rows: Sequence[Row]) -> str:
    """How many slices must I label, and what do I get: one paragraph."""
    counts = [count for count, patients in _COLUMNS if patients == 3]
    known = {count: value for count in counts if (value := mean_of(rows, WHOLE, count)) is not None}
    if not known:
        return f"How many slices must I label, and what do I get? This is {NOT_MEASURED} yet with several patients."
    gained = [f"{value:.3f} with {count}" for count, value in known.items()]
    text = (
        "How many slices must I label, and what do I get? Outline the liver on a few slices of three patients, spread "
        "evenly over it, and note of nine more patients which slices show it, which takes seconds a slice. The overlap "
        "with a person's outline on patients of other hospitals (Dice, 1 is the same; mean of five whole volumes, "
        f"nothing corrected) was then {', '.join(gained)} outlined slices."
    )
    top = ceiling(rows)
    if top is None:
        return f"{text} What outlining everything would give is {NOT_MEASURED}."
    text += f" Outlining every slice of all twelve patients gave {top:.3f}."
    enough = [count for count, value in known.items() if value >= top - _ENOUGH]
    if enough:
        return f"{text} So {enough[0]} outlined slices are within {_ENOUGH} of that; more of them gain little."
    return f"{text} None of these numbers of slices came within {_ENOUGH} of that: outline more where it matters."


def beside_the_paper(rows: Sequence[Row]) -> list[str]:
    """Both protocols beside the paper's figures, automatic boxes."""
    lines = [
        "| method | masks | one patient | three of twelve patients | paper, LiTS | paper, TotalSegmentator |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in (WHOLE, "sam_pp", "unet"):
        for count in (5, 50):
            lits, totalseg = _PAPER_DICE.get((name, count), ("", ""))
            new = mean_of(rows, name, count)
            figures = [_one_patient(rows, name, count), NOT_MEASURED if new is None else f"{new:.3f}", lits, totalseg]
            lines.append(f"| {METHODS[name].title} | {count} | {' | '.join(figures)} |")
    return lines


def _one_patient(rows: Sequence[Row], name: str, count: int) -> str:
    cases: dict[str, list[float]] = {}
    for row in rows:
        same = (row.protocol, row.method, row.labelled_slices, row.boxes) == (ONE_PATIENT, name, count, "auto")
        if same and row.dice is not None:
            cases.setdefault(row.case, []).append(row.dice)
    return f"{mean(map(mean, cases.values())):.3f}" if cases else NOT_MEASURED
