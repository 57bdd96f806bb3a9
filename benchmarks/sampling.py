"""What passing over slices and int8 cost in Dice, by models that have not seen the patient.

    python benchmarks/sampling.py CONFIG [--case NAME ...] [--way WAY ...] [--table]

The volumes are those of 2.5 mm and less among the training patients, none of them resampled; each is segmented by its
leave-one-patient-out model. Passing over every second slice of 2.5 mm leaves 5 mm between encoded slices, more than
any way that is offered leaves. Rows go to benchmarks/sampling.jsonl: Dice on the labelled slices, and against the mask
of float32 on every slice where that was run before.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ablation import CPU, DEFAULT, Fold, session_for

from sammix_core.datasets.cases import CaseConfig, load_case
from sammix_core.masks.overlap import mask_dice
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.slice_sampling import EVERY_SLICE, SliceSampling
from sammix_core.training.config import TrainingConfig
from sammix_core.training.supervised import SupervisedTrainer
from sammix_core.training.views import CLEAN, View

RESULTS = Path(__file__).with_suffix(".jsonl")
_CASES = ("hcc015_portal", "hcc015_arterial", "hcc007_arterial", "hcc009_portal", "totalseg_slab")
_SLOW = "float32, every slice"


@dataclass(frozen=True)
class FixedStride(SliceSampling):
    """Passes over slices however thick they are.

    Attributes:
        slices: The step between encoded slices.
    """

    slices: int = 2

    def stride(self, slice_mm: float, spacing_known: bool) -> int:
        """See `SliceSampling.stride`."""
        return self.slices


WAYS: dict[str, tuple[str, SliceSampling]] = {
    _SLOW: ("float32", EVERY_SLICE),
    "int8, every slice": ("int8", EVERY_SLICE),
    "int8, the search of today": ("int8", SliceSampling(thin_mm=0.0)),
    "int8, every second slice": ("int8", FixedStride(slices=2)),
    "int8, every third slice": ("int8", FixedStride(slices=3)),
}


def row_of(
    trainer: SupervisedTrainer, one: CaseConfig, fold: Fold, way: str, masks: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Segments a case in one way, and keeps the mask."""
    precision, sampling = WAYS[way]
    case, model = load_case(one), fold.model(DEFAULT)
    clean: list[View] = []
    if precision == trainer.encoder.precision:
        clean = [view for view in trainer.views if view.case == one.name and view.name == CLEAN]
    else:
        backend = LiteMedSam(CPU, precision=precision)
        backend.load_trained(fold.trained.decoder)
        model = replace(model, backend=backend)
    session = session_for(model, one.ct, clean, sampling)
    start = time.perf_counter()
    session.find_boxes()
    masks[way] = case.order.forward(session.segment_boxes().mask > 0)
    known = case.labelled
    row = {
        "model": f"{trainer.config.name}/{trainer.config.version}",
        "case": one.name,
        "way": way,
        "slice_mm": case.spacing[0],
        "dice": mask_dice(masks[way][known], case.mask_volume()[known]),
        "slices": len(known),
        "seconds": round(time.perf_counter() - start, 1),
    }
    return row | ({"dice_vs_float32": mask_dice(masks[way], masks[_SLOW])} if _SLOW in masks else {})


def table(model: str) -> str:
    """The rows of a model as Markdown: Dice of each way, and how far it is from every slice in float32 and int8."""
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    last = {(row["case"], row["way"]): row for row in rows if row["model"] == model}
    cases = sorted({case for case, _ in last})
    lines = [f"| way | {' | '.join(cases)} | mean |", f"| --- |{' --- |' * (len(cases) + 1)}"]
    for way in WAYS:
        found = [last.get((case, way), {}).get("dice") for case in cases]
        known = [value for value in found if value is not None]
        if known:
            cells = ["not measured" if value is None else f"{value:.4f}" for value in found]
            lines.append(f"| {way} | {' | '.join(cells)} | {np.mean(known):.4f} of {len(known)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the ways and cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--case", nargs="*", default=_CASES)
    parser.add_argument("--way", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown and leave")
    arguments = parser.parse_args()
    config = TrainingConfig.read(arguments.config)
    if arguments.table:
        print(table(f"{config.name}/{config.version}"))
        return
    trainer = SupervisedTrainer(config)
    folds = {config.left_out_with(case.patient): Fold(trainer, case.patient) for case in config.cases}
    for one in config.cases:
        if one.name not in arguments.case:
            continue
        fold, masks = folds[config.left_out_with(one.patient)], {}
        for way in arguments.way:
            row = row_of(trainer, one, fold, way, masks)
            print(row, flush=True)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
