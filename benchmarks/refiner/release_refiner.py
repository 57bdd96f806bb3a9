"""Puts a trained refiner into the package, with the figures measured on it.

    python benchmarks/refiner/release_refiner.py liver|lesion

Run it after train_refiner.py to ship the weights, and again whenever by_stage.py has been run: it reads results.jsonl
and writes the figures into manifest and model card. Weights that are there already stay as they are.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE.parent / "lesion_model")]

from refiner_table import lesion_lines, lesion_means, liver_lines  # noqa: E402
from release_model import FIGURES_MARK  # noqa: E402
from results_table import read_rows  # noqa: E402
from train_refiner import VERSIONS  # noqa: E402

from sammix_core.files import write_text_atomic  # noqa: E402
from sammix_core.model_store.store import open_model, shipped_models_folder  # noqa: E402
from sammix_core.refinement.folder import LESION, LIVER, SHIPPED  # noqa: E402

RESULTS = HERE / "results.jsonl"
TRAINED = HERE.parents[1] / "work" / "refiner" / "models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=(LIVER, LESION))
    target = parser.parse_args().target
    folder = shipped_models_folder() / SHIPPED[target] / VERSIONS[target]
    if not folder.exists():
        shutil.copytree(TRAINED / SHIPPED[target] / VERSIONS[target], folder)
    shipped = open_model(folder)
    rows: list[dict[str, Any]] = [row for row in read_rows(RESULTS) if row["target"] == target]
    if target == LIVER:
        lines = liver_lines(rows)
        own = [row for row in rows if row["refiner"] == shipped.spec]
        figures = [{key: value for key, value in row.items() if key != "target"} for row in own]
    else:
        lines, figures = lesion_lines(rows), lesion_means(rows)
    metrics = {**dict(shipped.manifest.metrics), "by_stage": figures}
    replace(shipped.manifest, metrics=metrics).write(folder / "manifest.json")
    card = (HERE / "cards" / f"{target}.md").read_text(encoding="utf-8")
    write_text_atomic(folder / "MODEL_CARD.md", card.replace(FIGURES_MARK, "\n".join(lines)))
    print(f"{shipped.spec}: {len(lines) - 2} lines of figures in {folder.relative_to(HERE.parents[1])}")


if __name__ == "__main__":
    main()
