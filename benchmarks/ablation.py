"""Leave-one-patient-out on the training cases, with each switch turned; chooses what the default model does.

    python benchmarks/ablation.py CONFIG [--only PATIENT ...] [--variant NAME ...] [--grid SWITCH ...] [--moved]
        [--list]

CONFIG is a training configuration such as benchmarks/liver_model/config.yaml. For each patient everything is trained
without that patient (resuming what is there already), and the patient's whole CT is segmented with automatic and with
oracle boxes, with --moved also with oracle boxes whose edges were moved a little, as a hand draws them. Slices without
a label are left out of the scores. Without --variant and --grid each switch is turned on its own; --grid guidance lora
takes all combinations of those switches. What needs ResNet-38 or LoRA trains them, with the sections of the
configuration or the default ones.

Rows go to benchmarks/ablation.jsonl as they come; benchmarks/results_table.py makes docs/results.md of them.
ircadb17 and amos0001 are never touched here.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from oracle import moved_boxes, oracle_boxes

from sammix_core.datasets.cases import LabelledCase, load_case
from sammix_core.evaluation.metrics import score_masks
from sammix_core.guidance.base import Guidance
from sammix_core.guidance.embedding_cam import NAME as EMBEDDING_CAM
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.guidance.resnet38_cam import NAME as RESNET38
from sammix_core.sam.decoding import CHOICES
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.following.settings import NOT_FOLLOWED, FollowSettings
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.segmentation.result import SegmentationResult
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import EVERY_SLICE, SliceSampling
from sammix_core.training.config import TrainingConfig
from sammix_core.training.settings import FIRST, THRESHOLDS, LoraTraining, ResNetTraining
from sammix_core.training.supervised import SupervisedTrainer, Trained
from sammix_core.training.views import CLEAN, View
from sammix_core.volume_io import read_volume

RESULTS = Path(__file__).with_name("ablation.jsonl")
CPU = torch.device("cpu")

# Switch -> its values; the first one is the default. A switch of maps counts for ResNet-38 alone. A map beside any box
# (least_cover 0) is how the variants were compared; what is shipped since, 0.5, concerns a person's boxes alone.
SWITCHES: dict[str, tuple[Any, ...]] = {
    "guidance": (EMBEDDING_CAM, RESNET38),
    "cam": ("gradcam", "hirescam", "layercam", "eigencam"),
    "threshold": tuple(reversed(THRESHOLDS)),
    "lora": (False, True),
    "decoder": (True, False),
    "mask_prompt": (True, False),
    "second_pass": (False, True),
    "choice": CHOICES,
    "least_cover": (0.0, 0.5),
    "body_crop": (True, False),
    "following": (True, False),
    "mend": (True, False),
    "smooth_mm": (2.0, 0.0),
    "smooth_box_mm": (0.0, 3.0),
}
DEFAULT = {switch: values[0] for switch, values in SWITCHES.items()}
_OF_MAPS = ("cam", "threshold")
_SMOOTHING = ("smooth_mm", "smooth_box_mm")
_OF_BOXES = (*_SMOOTHING, "following", "mend")  # oracle boxes are the same whatever these are


def name_of(switches: dict[str, Any]) -> str:
    """A variant's name: what differs from the default."""
    turned = [f"{switch} {_word(value)}" for switch, value in switches.items() if value != DEFAULT[switch]]
    return ", ".join(turned) or "default"


def _word(value: Any) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def one_by_one() -> dict[str, dict[str, Any]]:
    """The default, and each switch turned on its own; those of ResNet-38's maps together with it."""
    found = [dict(DEFAULT)]
    for switch, values in SWITCHES.items():
        base = {**DEFAULT, "guidance": RESNET38} if switch in _OF_MAPS else DEFAULT
        found += [{**base, switch: value} for value in values[1:]]
    return {name_of(one): one for one in found}


def grid(switches: Iterable[str]) -> dict[str, dict[str, Any]]:
    """All combinations of some switches."""
    names = list(switches)
    combined = (dict(zip(names, values, strict=True)) for values in itertools.product(*(SWITCHES[n] for n in names)))
    found = [{**DEFAULT, **one} for one in combined]
    # Without ResNet-38 the switches of its maps do nothing, so those variants would be the same.
    kept = [v for v in found if v["guidance"] == RESNET38 or all(v[s] == DEFAULT[s] for s in _OF_MAPS)]
    return {name_of(one): one for one in kept}


@dataclass
class Fold:
    """Everything trained without one patient; made when a variant first asks for it.

    Attributes:
        trainer: Trains.
        patient: The one left out.
    """

    trainer: SupervisedTrainer
    patient: str

    def __post_init__(self) -> None:
        self._plain: Trained | None = None
        self._adapted: tuple[Trained, dict[str, torch.Tensor]] | None = None

    @property
    def trained(self) -> Trained:
        """Head and decoder without the patient; without a LoRA that comes after them."""
        self._plain = self._plain or self.trainer.train(without=self.patient)
        return self._plain

    def model(self, switches: dict[str, Any]) -> LoadedModel:
        """The fold's model with a variant's switches."""
        trained, adapter = self.trained, self.trained.encoder.adapter  # LoRA that was trained first is in every variant
        if switches["lora"] and adapter is None:
            self._adapted = self._adapted or self.trainer.adapted(self.trained, without=self.patient)
            trained, adapter = self._adapted
        encoder = trained.encoder
        backend = LiteMedSam(CPU, adapter=adapter, precision=encoder.precision, ranges=encoder.ranges)
        if switches["decoder"]:
            backend.load_trained(trained.decoder)
        guidance: Guidance = EmbeddingCam(trained.head, CPU)
        boxes = trained.boxes
        if switches["guidance"] == RESNET38:
            config = self.trainer.config
            section = replace(config.resnet38, method=switches["cam"], threshold=switches["threshold"])
            self.trainer.config = config.model_copy(update={"resnet38": section})
            guidance, boxes = self.trainer.resnet38_guidance(without=self.patient)
        smoothed = {key: switches[key] for key in _SMOOTHING if switches[key] != DEFAULT[key]}
        masks = {key: switches[key] for key in ("mask_prompt", "second_pass", "choice", "least_cover")}
        return LoadedModel(
            "fold",
            backend,
            guidance,
            replace(self.trainer.config.preprocessing, body_crop=switches["body_crop"]),
            replace(boxes, **smoothed),
            replace(trained.masks, **masks),
            CPU,
            FollowSettings(mend=switches["mend"]) if switches["following"] else NOT_FOLLOWED,
        )


def session_for(
    model: LoadedModel, case_ct: Path, views: list[View], sampling: SliceSampling = EVERY_SLICE
) -> SegmentationSession:
    """A session whose embeddings are those of the clean view, where there are any."""
    session = Segmenter(model).open_session(read_volume(case_ct), sampling=sampling)
    for view in views:
        for index, embedding in zip(view.slices, view.embeddings, strict=True):
            session.preload(int(index), embedding)
    return session


def row_of(session: SegmentationSession, case: LabelledCase, result: SegmentationResult) -> dict[str, Any]:
    """Scores on the labelled slices, and seconds by stage."""
    known = case.labelled
    found, label = session.volume.axial_order.forward(result.mask)[known], case.mask_volume()[known]
    slice_mm, row_mm, col_mm = case.spacing
    scores = score_masks(found, label, (col_mm, row_mm, slice_mm))
    return {
        "dice": scores.dice,
        "hd95_mm": scores.hd95_mm,
        "surface_dice_2mm": scores.surface_dice_2mm,
        "slices": len(result.slices),
        "slices_encoded": result.slices_encoded,
        "seconds": {stage: round(seconds, 1) for stage, seconds in result.seconds.items()},
    }


def rows_of(
    trainer: SupervisedTrainer, name: str, variants: dict[str, dict[str, Any]], moved: bool = False
) -> Iterable[dict[str, Any]]:
    """Rows of one case in all variants, by what was trained without its patient, optionally with moved boxes too."""
    one = next(case for case in trainer.config.cases if case.name == name)
    case = load_case(one)
    clean = [view for view in trainer.views if view.case == name and view.name == CLEAN]
    fold = Fold(trainer, one.patient)
    for variant, switches in variants.items():
        # Embeddings of the views are those of the trainer's encoder on the body crop.
        own_lora = (
            trainer.config.lora is not None and trainer.config.lora.order == FIRST and not trainer.config.lora.shared
        )
        cached = clean if switches["body_crop"] and not switches["lora"] and not own_lora else []
        session = session_for(fold.model(switches), one.ct, cached)
        session.find_boxes()
        head = {"model": f"{trainer.config.name}/{trainer.config.version}", "variant": variant, "case": name}
        embeddings = {"embeddings": "cached" if cached else "computed", "switches": switches}
        yield {**head, "boxes": "auto", **row_of(session, case, session.segment_boxes()), **embeddings}
        turned = {switch for switch, value in switches.items() if value != DEFAULT[switch]}
        if not turned or not turned <= set(_OF_BOXES):
            label = session.volume.axial_order.back(case.mask_volume())
            persons = {"oracle": oracle_boxes(session.volume, label)}
            if moved:
                persons["moved"] = moved_boxes(persons["oracle"])
            for boxes, track in persons.items():
                session.boxes = track
                yield {**head, "boxes": boxes, **row_of(session, case, session.segment_boxes()), **embeddings}


def main() -> None:
    """Runs the folds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--only", nargs="*", help="patients; all by default")
    parser.add_argument("--variant", nargs="*", help="variants by name, as --list shows them; all by default")
    parser.add_argument("--grid", nargs="*", choices=list(SWITCHES), help="all combinations of these switches")
    parser.add_argument("--moved", action="store_true", help="also boxes as a hand draws them")
    parser.add_argument("--list", action="store_true", help="print the variants and leave")
    arguments = parser.parse_args()
    variants = grid(arguments.grid) if arguments.grid else one_by_one()
    unknown = set(arguments.variant or []) - variants.keys()
    if unknown:
        parser.error(f"there is no variant {sorted(unknown)[0]!r}; --list shows them")
    variants = {name: one for name, one in variants.items() if not arguments.variant or name in arguments.variant}
    if arguments.list:
        print("\n".join(variants))
        return
    config = TrainingConfig.read(arguments.config)
    sections = {"resnet38": config.resnet38 or ResNetTraining(), "lora": config.lora or LoraTraining()}
    config = config.model_copy(update=sections)
    trainer = SupervisedTrainer(config)
    for case in config.cases:
        if arguments.only and case.patient not in arguments.only:
            continue
        for row in rows_of(trainer, case.name, variants, arguments.moved):
            print(json.dumps(row), flush=True)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
