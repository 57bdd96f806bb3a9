"""Puts a trained model into the package, with the figures measured on it.

    python benchmarks/release_model.py work/liver_model_2/out/liver/2.0.0

Run it after training to ship the weights (the figures stay empty), and again after benchmarks/out_of_fold.py and
benchmarks/validate.py have been run: it reads their result files and writes the figures into manifest and model card.
Weights that are there already stay as they are, so that the repository's history holds them once.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from results_table import FIRST_MODEL, read_rows

from sammix_core.files import write_text_atomic
from sammix_core.model_store.store import open_model, shipped_models_folder
from sammix_core.segmentation.following.settings import FollowSettings

HERE = Path(__file__).resolve().parent
CARD = HERE / "liver_model" / "MODEL_CARD.md"
FIGURES_MARK = "<!-- figures -->"


def rows(name: str, spec: str) -> list[dict[str, Any]]:
    """A model's rows of a result file, the last one of each case and boxes, default variant; none without a file."""
    found = [row for row in read_rows(HERE / name) if row.get("model", FIRST_MODEL) == spec and "case" in row]
    latest = {(row["case"], row["boxes"], row.get("variant", "default")): row for row in found}
    return [row for key, row in latest.items() if key[2] == "default"]


def measured(spec: str) -> dict[str, list[dict[str, Any]]]:
    """A model's rows by protocol, figures not rounded."""
    return {
        "leave_one_patient_out": rows("out_of_fold.jsonl", spec),
        "validation": rows("validation.jsonl", spec),
    }


def short(row: dict[str, Any]) -> dict[str, Any]:
    """What the manifest keeps of a row."""
    keep = ("case", "boxes", "dice", "hd95_mm", "surface_dice_2mm", "volume_difference_percent")
    return {key: round(row[key], 4) if isinstance(row[key], float) else row[key] for key in keep}


def table(figures: dict[str, list[dict[str, Any]]]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| protocol | case | boxes | Dice | HD95 mm | surface Dice 2 mm | volume, % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for protocol, entries in figures.items():
        for row in entries:
            numbers = [f"{row['dice']:.3f}", *_optional(row["hd95_mm"], 1), *_optional(row["surface_dice_2mm"], 3)]
            numbers.append(f"{row['volume_difference_percent']:+.1f}")
            lines.append(f"| {protocol.replace('_', ' ')} | {row['case']} | {row['boxes']} | {' | '.join(numbers)} |")
    return "\n".join(lines) if len(lines) > 2 else "Not measured yet."


def _optional(value: float | None, digits: int) -> list[str]:
    return ["unknown spacing" if value is None else f"{value:.{digits}f}"]


def main() -> None:
    """Copies the model and fills in its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    trained = open_model(parser.parse_args().model)
    folder = shipped_models_folder() / trained.manifest.name / trained.manifest.version
    if not folder.exists():
        shutil.copytree(trained.path, folder)
    shipped = open_model(folder)
    figures = measured(shipped.spec)
    metrics = {protocol: [short(row) for row in entries] for protocol, entries in figures.items()}
    # The limits of following were measured on livers; a training configuration does not know them.
    guidance = {"following": FollowSettings().to_dict(), **shipped.manifest.guidance}
    replace(shipped.manifest, metrics=metrics, guidance=guidance).write(folder / "manifest.json")
    card = CARD.read_text(encoding="utf-8").replace(FIGURES_MARK, table(figures))
    write_text_atomic(folder / "MODEL_CARD.md", card)
    print(f"{shipped.spec}: {sum(map(len, figures.values()))} figures in {folder.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
