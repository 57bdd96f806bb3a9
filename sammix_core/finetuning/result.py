"""The result of a fine-tuning run: Dice before and after, side by side, and whether that is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from sammix_core.documents import check_keys
from sammix_core.errors import InputError

PACK = "pack"
GROUPS = {
    "held_back": "held-back slices",
    "earlier": "earlier cases",
    PACK: "training patients",
    "check": "check folder",
}
_BOXES = {"auto": "automatic boxes", "oracle": "oracle boxes"}
# What the figures do not see: a head that has learnt from slices with the structure alone comes to see it everywhere.
ONE_SIDED = (
    "Where it looks has changed too, and was learnt from slices that all show the structure: look at slices without it "
    "before you activate the new version, or keep some of those to learn from as well."
)
# Less than this is no difference: the same correction drawn twice differs by more.
_NOTICED = 0.002
_WORSE = 0.005
# In the mean over the training patients: it has less noise than one case, and a version shall cost them nothing.
_FORGOTTEN = 0.002


@dataclass(frozen=True)
class Figure:
    """Dice of one case.

    Attributes:
        group: "held_back" (slices kept from learning), "earlier" (cases that the parent had learnt from), "pack" (the
            training patients whose slices go with the model) or "check".
        case: The case's key.
        slices: How many slices were scored.
        boxes: "auto" (found by the model) or "oracle" (those of the masks).
        before: Of the parent; None where it does not know the structure.
        after: Of the new version.
    """

    group: str
    case: str
    slices: int
    boxes: str
    before: float | None
    after: float


@dataclass(frozen=True)
class FineTuneResult:
    """The result of a run.

    Attributes:
        model: The new version, "my-liver/1.0.0".
        parent: What it was made of, "liver/2.0.0".
        folder: Where it lies.
        verdict: "better", "same", "worse", or "new" for a structure that the parent does not know.
        sentence: The verdict in words.
        figures: Dice by case.
        head_share: How far the guidance head's weights went from the parent's to the trained ones, 0 to 1.
        decoder_share: The same of prompt encoder and mask decoder.
        seconds: Work, without pauses.
        train_slices: Slices that were learnt from.
        held_back_slices: Slices that were kept from learning.
        notes: Plain sentences.
    """

    model: str
    parent: str
    folder: Path
    verdict: str
    sentence: str
    figures: tuple[Figure, ...]
    head_share: float
    decoder_share: float
    seconds: float
    train_slices: int
    held_back_slices: int
    notes: tuple[str, ...] = ()

    def table(self) -> list[tuple[str, float | None, float]]:
        """(label, before, after) of each group and kind of box: the mean over its cases."""
        return [
            (f"{GROUPS[group]}, {_BOXES[boxes]}", *means(self.figures, group, boxes)) for group, boxes in _kinds(self)
        ]

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {**asdict(self), "folder": str(self.folder), "figures": [asdict(figure) for figure in self.figures]}

    @classmethod
    def from_json(cls, document: Any) -> FineTuneResult:
        """Reads what `to_json` made.

        Raises:
            InputError: It is something else.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict):
            raise InputError("This is no result of a fine-tuning run.")
        check_keys(document, required=names, allowed=names, what="The result")
        figures = tuple(Figure(**figure) for figure in document["figures"])
        more = {"folder": Path(document["folder"]), "figures": figures, "notes": tuple(document["notes"])}
        return cls(**{**document, **more})


def means(figures: Sequence[Figure], group: str, boxes: str) -> tuple[float | None, float]:
    """Dice before and after of a group, each case counting the same; (None, 0) of a group without figures."""
    chosen = [figure for figure in figures if (figure.group, figure.boxes) == (group, boxes)]
    before = [figure.before for figure in chosen if figure.before is not None]
    return (fmean(before) if before else None), fmean([figure.after for figure in chosen] or [0.0])


def judge(figures: Sequence[Figure], new_structure: bool) -> tuple[str, str]:
    """The verdict and its sentence.

    Worse is what is worse for anyone: for the slices held back, for an earlier case, for a case of the check folder, or
    in the mean for the patients whose slices go with the model.
    """
    # Of a new case with few slices none may be held back; then those of earlier cases say what there is to say.
    group = "held_back" if any(figure.group == "held_back" for figure in figures) else "earlier"
    before, after = means(figures, group, "auto")
    if new_structure or before is None:
        return "new", f"The new model reaches Dice {after:.3f} with automatic boxes on the slices held back."
    rise = f"on the slices held back, Dice went from {before:.3f} to {after:.3f} with automatic boxes"
    forgotten = _forgotten(figures)
    if forgotten:
        return "worse", f"{forgotten}; {rise}."
    changes = [
        (figure.after - figure.before, figure)
        for figure in figures
        if figure.before is not None and figure.group != PACK
    ]
    change, worst = min(changes, key=lambda pair: pair[0])
    if change < -_WORSE:
        where = f"{GROUPS[worst.group]} ({worst.case}, {_BOXES[worst.boxes]})"
        return "worse", f"The new version is worse: {where} fell from {worst.before:.3f} to {worst.after:.3f}; {rise}."
    oracle_before, oracle_after = means(figures, group, "oracle")
    gain = max(after - before, 0.0 if oracle_before is None else oracle_after - oracle_before)
    if gain > _NOTICED:
        return "better", f"The new version is better: {rise}, and nothing that was checked got worse."
    return "same", f"The new version is about as good as before: {rise}."


def _forgotten(figures: Sequence[Figure]) -> str:
    """A sentence, without its full stop, where the training patients lose in the mean; "" otherwise."""
    falls = []
    for boxes in _BOXES:
        before, after = means(figures, PACK, boxes)
        if before is not None:
            falls.append((before - after, boxes, before, after))
    fall, boxes, before, after = max(falls, default=(0.0, "", 0.0, 0.0))
    if fall <= _FORGOTTEN:
        return ""
    slices = [figure.slices for figure in figures if (figure.group, figure.boxes) == (PACK, boxes)]
    return (
        f"The new version is worse for other patients: on {sum(slices)} slices of {len(slices)} {GROUPS[PACK]}, Dice "
        f"fell from {before:.3f} to {after:.3f} with {_BOXES[boxes]}"
    )


def _kinds(result: FineTuneResult) -> list[tuple[str, str]]:
    scored = {(figure.group, figure.boxes) for figure in result.figures}
    return [(group, boxes) for group in GROUPS for boxes in _BOXES if (group, boxes) in scored]
