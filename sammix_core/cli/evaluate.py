"""`sammix evaluate`: scores a labelmap against a reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli import console

if TYPE_CHECKING:
    from sammix_core.evaluation import Scores

_UNKNOWN = "-"


def evaluate(
    prediction: Annotated[Path, typer.Argument(metavar="PRED", help="The labelmap or DICOM SEG to score.")],
    reference: Annotated[
        Path, typer.Argument(metavar="REF", help="The labelmap, DICOM SEG or RTSTRUCT to score it against.")
    ],
    label: Annotated[
        str | None,
        typer.Option(help="The liver's label in the reference, or its segment's name; without it all labels but 0."),
    ] = None,
    ct: Annotated[
        Path | None, typer.Option("--ct", help="The CT of both, where DICOM files lie on uneven or leaning slices.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a mask: Dice, HD95, surface Dice at 2 mm, volume difference (MONAI's implementations)."""
    from sammix_core.evaluation import evaluate_files

    scores = evaluate_files(prediction, reference, label, ct)
    if as_json:
        print(json.dumps({"schema": "sammix-scores/1", **scores.to_json()}, indent=2, allow_nan=False))
        return
    console.print_fields(_fields(scores))
    console.print_notes(scores.notes)


def _fields(scores: Scores) -> list[tuple[str, str]]:
    return [
        ("Dice", _number(scores.dice, "{:.4f}")),
        ("HD95", _number(scores.hd95_mm, "{:.2f} mm")),
        ("surface Dice", _number(scores.surface_dice_2mm, "{:.4f} within 2 mm")),
        ("volume", _number(scores.prediction_ml, "{:,.1f} mL")),
        ("reference", _number(scores.reference_ml, "{:,.1f} mL")),
        ("difference", _difference(scores)),
    ]


def _difference(scores: Scores) -> str:
    parts = ((scores.volume_difference_ml, "{:+,.1f} mL"), (scores.volume_difference_percent, "{:+.2f} %"))
    return ", ".join(_number(value, form) for value, form in parts if value is not None) or _UNKNOWN


def _number(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else form.format(value)
