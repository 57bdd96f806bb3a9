"""The result files: one JSON object a line, written as rows come, and what is in one is not measured again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from .cells import CEILING, Cell

RESULTS = Path(__file__).with_name("results.jsonl")
OUT_OF_FOLD = Path(__file__).with_name("out_of_fold.jsonl")
Key = tuple[Cell, str, str]


@dataclass(frozen=True)
class Row:
    """One figure; the keys are the file's.

    Attributes:
        method: Name of the method.
        labelled_slices: How many masks it was given, those for early stopping included.
        seed: Of the choice of slices and of the training.
        case: That it was tested on.
        label_origin: "person", "model" or "ours".
        boxes: "auto" or "oracle"; "auto" for networks without boxes.
        dice: Of the whole volume.
        hd95_mm, surface_dice_2mm: None where the spacing is unknown or a mask is empty.
        seconds: From the embeddings to the mask; a network without them from the CT. Two cores, more or less busy.
        protocol: See `Cell`.
        patients_labelled: How many patients the masks are of.
        draw: Who these are; the seed goes with it.
    """

    method: str
    labelled_slices: int
    seed: int
    case: str
    label_origin: str
    boxes: str
    dice: float | None
    hd95_mm: float | None
    surface_dice_2mm: float | None
    seconds: float
    protocol: str
    patients_labelled: int
    draw: int

    @property
    def cell(self) -> Cell:
        """The training that it comes from."""
        count = None if self.method == CEILING else self.labelled_slices
        return Cell(self.protocol, self.method, count, self.patients_labelled, self.draw)

    @property
    def key(self) -> Key:
        """What makes it another row."""
        return self.cell, self.case, self.boxes


def read_rows(file: Path = RESULTS) -> list[Row]:
    """All rows; none where there is no file."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Row(**json.loads(line)) for line in lines if line.strip()]


def done(rows: Iterable[Row]) -> set[Key]:
    """What is measured already."""
    return {row.key for row in rows}


def append(row: Row, file: Path = RESULTS) -> None:
    """Adds a row."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(row), allow_nan=False) + "\n")
