"""Leave-one-patient-out on the training cases, with each switch turned in turn; chooses what the default model does.

    python benchmarks/ablation.py benchmarks/liver_model/config.yaml [--only NAME ...] [--variant NAME ...]

For each patient a head and a decoder are trained without that patient (resuming what `sammix train` has made already),
and the patient's whole CT is segmented with automatic and with oracle boxes. Slices without a label are left out of
the scores. Rows go to benchmarks/ablation.jsonl as they come; ircadb17 and amos0001 are never touched here.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.evaluation.metrics import score_masks
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmenter import LoadedModel, Segmenter
from sammix_core.session import SegmentationSession
from sammix_core.training.cases import Case, load_case
from sammix_core.training.config import TrainingConfig
from sammix_core.training.run import Trained, Trainer
from sammix_core.training.views import CLEAN, View
from sammix_core.volume_io import read_volume

RESULTS = Path(__file__).with_name("ablation.jsonl")

# Name -> (changes to the box settings, changes to the mask settings, trained decoder or LiteMedSAM's own)
VARIANTS: dict[str, tuple[dict[str, object], dict[str, object], bool]] = {
    "default": ({}, {}, True),
    "decoder untrained": ({}, {}, False),
    "no mask prompt": ({}, {"mask_prompt": False}, True),
    "choice first": ({}, {"choice": "first"}, True),
    "choice mean": ({}, {"choice": "mean"}, True),
    "second pass": ({}, {"second_pass": True}, True),
    "no z smoothing": ({"smooth_mm": 0.0}, {}, True),
    "boxes smoothed 3 mm": ({"smooth_box_mm": 3.0}, {}, True),
}


def loaded(trained: Trained, trainer: Trainer, variant: str) -> LoadedModel:
    """A fold's model with a variant's settings."""
    boxes, masks, with_decoder = VARIANTS[variant]
    backend = LiteMedSam(torch.device("cpu"), engine="torch")
    if with_decoder:
        backend.load_trained(trained.decoder)
    return LoadedModel(
        "fold",
        backend,
        EmbeddingCam(trained.head, torch.device("cpu")),
        trainer.config.preprocessing,
        replace(trained.boxes, **boxes),  # type: ignore[arg-type]
        replace(trained.masks, **masks),  # type: ignore[arg-type]
        torch.device("cpu"),
    )


def session_for(model: LoadedModel, case_ct: Path, views: list[View]) -> SegmentationSession:
    """A session whose embeddings are those of the clean view, where there are any."""
    session = Segmenter(model).open_session(read_volume(case_ct))
    for view in views:
        for index, embedding in zip(view.slices, view.embeddings, strict=True):
            session.preload(int(index), embedding)
    return session


def oracle_boxes(case: Case, session: SegmentationSession) -> BoxTrack:
    """The labels' own tight boxes."""
    volume = session.volume
    order, shape = volume.axial_order, volume.array.shape
    track = BoxTrack(session.boxes.shape, session.boxes.slice_axis)
    for index, mask in case.masks.items():
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        tight = (int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1)
        track.set(Box(order.slice_index(index, shape), *order.box_to_volume(tight, shape), BoxSource.EDITED))
    return track


def rows_of(trainer: Trainer, case_name: str, trained: Trained, variants: list[str]) -> list[dict[str, object]]:
    """Scores of one patient in all variants."""
    one = next(case for case in trainer.config.cases if case.name == case_name)
    case = load_case(one, trainer.config.preprocessing)
    clean = [view for view in trainer.views if view.case == case_name and view.name == CLEAN]
    rows = []
    for variant in variants:
        model = loaded(trained, trainer, variant)
        for boxes in ("auto", "oracle"):
            if boxes == "oracle" and variant not in ("default", "decoder untrained"):
                continue
            session = session_for(model, one.ct, clean)
            started = time.monotonic()
            session.find_boxes()
            if boxes == "oracle":
                session.boxes = oracle_boxes(case, session)
            result = session.segment_boxes()
            order = session.volume.axial_order
            known = case.labelled
            found, label = order.forward(result.mask)[known], case.mask_volume()[known]
            slice_mm, row_mm, col_mm = case.spacing
            scores = score_masks(found, label, (col_mm, row_mm, slice_mm))
            rows.append(
                {
                    "variant": variant,
                    "case": case_name,
                    "boxes": boxes,
                    "dice": scores.dice,
                    "hd95_mm": scores.hd95_mm,
                    "surface_dice_2mm": scores.surface_dice_2mm,
                    "seconds_without_encoder": round(time.monotonic() - started, 1),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Runs the folds that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--only", nargs="*", help="patients; all by default")
    parser.add_argument("--variant", nargs="*", choices=list(VARIANTS), help="variants; all by default")
    arguments = parser.parse_args()
    trainer = Trainer(TrainingConfig.read(arguments.config))
    for case in trainer.config.cases:
        if arguments.only and case.name not in arguments.only:
            continue
        rows = rows_of(trainer, case.name, trainer.train(without=case.name), arguments.variant or list(VARIANTS))
        with RESULTS.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
