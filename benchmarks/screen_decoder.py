"""Screens how the decoder is trained, on patients that are left out: slice by slice, from embeddings that are there.

    python benchmarks/screen_decoder.py CONFIG --only PATIENT ... [--steps N] [--rate R] [--parts SHARE] [--split]

Quicker than `out_of_fold.py`, since nothing is followed along z: of each labelled slice with liver the boxes of the
head without the patient (automatic) and the label's own, one a part (oracle), are decoded, and Dice is that of all
slices of a volume together, on the network's 256 x 256 pixels. With --split each separate part of the head's map gets a
box. Rows go to benchmarks/screen_decoder.jsonl.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sammix_core.boxes.network_box import NetworkBox, tight_box
from sammix_core.boxes.parts import enclosing_box
from sammix_core.guidance.boxes_from_cam import boxes_from_cam
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.masks.components import component_sizes, label_components
from sammix_core.masks.overlap import mask_dice
from sammix_core.sam.decoding import clean_slice, decode_slices
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.training.calibrate import out_of_fold_maps
from sammix_core.training.config import TrainingConfig
from sammix_core.training.supervised import SupervisedTrainer, Trained
from sammix_core.training.views import CLEAN, View

RESULTS = Path(__file__).with_suffix(".jsonl")
CPU = torch.device("cpu")
_LEAST_PART_PIXELS = 12


def label_parts(label: np.ndarray) -> list[NetworkBox]:
    """The label's own boxes, one a part that is no speck."""
    labels, count = label_components(label, corners=True)
    sizes = component_sizes(labels, count)
    boxes = [tight_box(labels == number + 1) for number in range(count) if sizes[number] >= _LEAST_PART_PIXELS]
    return [tuple(map(float, box)) for box in boxes if box is not None]


def decoded(
    backend: LiteMedSam, embedding: torch.Tensor, cam: np.ndarray, boxes: Sequence[NetworkBox], trained: Trained
) -> np.ndarray:
    """(256, 256) bool: the union of what the decoder makes of each box, kept within it and its margin."""
    found = np.zeros((256, 256), bool)
    margin = trained.masks.box_margin * np.array([-1, -1, 1, 1])
    for box in boxes:
        logits = decode_slices(backend, embedding, np.array([box]), cam, trained.masks).logits[0]
        found |= clean_slice(logits > 0, tuple((np.array(box) + margin).tolist()), None)
    return found


def scores(backend: LiteMedSam, trained: Trained, view: View, split: bool) -> tuple[float, float]:
    """Dice of automatic and of oracle boxes over the slices of a view with liver."""
    shown = np.flatnonzero((view.shares > 127).any((1, 2)))
    part = replace(view, embeddings=view.embeddings[shown], shares=view.shares[shown], slices=view.slices[shown])
    maps = out_of_fold_maps(part, EmbeddingCam(trained.head, CPU))
    guided = boxes_from_cam(maps, 1.0, 256, replace(trained.boxes, split=split)).boxes
    label = part.shares > 127
    found = {"auto": np.zeros_like(label), "oracle": np.zeros_like(label)}
    for index in range(len(shown)):
        embedding = torch.from_numpy(np.array(part.embeddings[index : index + 1])).float()
        whole = enclosing_box(guided[index])
        automatic = list(guided[index]) if split else [] if whole is None else [whole]
        for name, boxes in (("auto", automatic), ("oracle", label_parts(label[index]))):
            found[name][index] = decoded(backend, embedding, maps.cam_logits[index : index + 1], boxes, trained)
    return mask_dice(found["auto"], label), mask_dice(found["oracle"], label)


def main() -> None:
    """Trains and scores without each of the patients that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--only", nargs="+", required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--parts", type=float)
    parser.add_argument("--split", action="store_true")
    arguments = parser.parse_args()
    config = TrainingConfig.read(arguments.config)
    changes = {"steps": arguments.steps, "learning_rate": arguments.rate, "part_share": arguments.parts}
    decoder = replace(config.decoder, **{key: value for key, value in changes.items() if value is not None})
    trainer = SupervisedTrainer(config.model_copy(update={"decoder": decoder}))
    models: dict[tuple[str, ...], Trained] = {}
    for patient in arguments.only:
        fold = config.left_out_with(patient)
        trained = models[fold] = models.get(fold) or trainer.train(without=patient)
        backend = LiteMedSam(CPU, precision=trained.encoder.precision, ranges=trained.encoder.ranges)
        backend.load_trained(trained.decoder)
        for view in trainer.views:
            if view.patient == patient and view.name == CLEAN:
                auto, oracle = scores(backend, trained, view, arguments.split)
                row = {
                    "case": view.case,
                    "decoder": vars(decoder),
                    "split": arguments.split,
                    "auto": auto,
                    "oracle": oracle,
                }
                print(json.dumps(row), flush=True)
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
