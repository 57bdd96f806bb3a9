"""The training configuration, a YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sammix_core.datasets.cases import CaseConfig
from sammix_core.errors import InputError
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.training.config_values import (
    PRECISIONS,
    check_cases,
    check_config_keys,
    check_kind,
    check_precision,
    read_entry,
    section,
)
from sammix_core.training.paper_sections import LoraTraining, ResNetTraining

_KINDS = {
    **dict.fromkeys(("name", "target", "data_root", "work", "output"), str),
    **dict.fromkeys(("seed", "views"), int),
    **dict.fromkeys(("head", "decoder", "preprocessing", "resnet38", "lora"), dict),
    "cases": list,
}


@dataclass(frozen=True)
class HeadTraining:
    """How the guidance head is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Slices a step.
        learning_rate: Peak of a one-cycle schedule (AdamW).
        weight_decay: AdamW's.
        average_from: Share of the steps after which weights are averaged (exponentially).
    """

    steps: int = 300
    batch: int = 12
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    average_from: float = 0.5


@dataclass(frozen=True)
class DecoderTraining:
    """How prompt encoder and mask decoder are trained.

    Attributes:
        steps: Optimiser steps; 0 leaves LiteMedSAM's own.
        batch: Slices a step.
        learning_rate: Peak of the schedule; small, since naive training hurts other patients.
        weight_decay: AdamW's.
    """

    steps: int = 90
    batch: int = 6
    learning_rate: float = 5e-5
    weight_decay: float = 0.01


@dataclass(frozen=True)
class TrainingConfig:
    """A whole configuration, paths resolved.

    Attributes:
        name, version, target: Of the model that is made.
        seed: Of everything random.
        work: Folder for embeddings and checkpoints.
        output: Folder below which the model's folder is written.
        views: Augmented views a case.
        precision: Lightning Fabric's: "bf16-mixed" halves the time on processors that know bfloat16.
        preprocessing: Window, size and crop.
        cases: What is trained on.
        head, decoder: How.
        folder: Where the configuration lies.
        resnet38, lora: How the SAM-Mix paper's own parts are trained; None where they are not.
    """

    name: str
    version: str
    target: str
    seed: int
    work: Path
    output: Path
    views: int
    precision: Any
    preprocessing: PreprocessingSpec
    cases: tuple[CaseConfig, ...]
    head: HeadTraining
    decoder: DecoderTraining
    folder: Path
    resnet38: ResNetTraining | None = None
    lora: LoraTraining | None = None

    @classmethod
    def read(cls, path: str | Path) -> TrainingConfig:
        """Reads a configuration.

        Raises:
            InputError: The file is missing, not YAML, or has unknown or missing keys; names the key.
        """
        path = Path(path)
        entry = read_entry(path)
        required = {"name", "version", "target", "seed", "data_root", "work", "output", "views", "cases"}
        optional = {"preprocessing", "head", "decoder", "precision", "resnet38", "lora"}
        check_config_keys(path, entry, required, optional)
        for key, kind in _KINDS.items():
            check_kind(key, entry.get(key, kind()), kind)
        folder = path.resolve().parent
        data_root = folder / entry["data_root"]
        cases = tuple(CaseConfig.from_dict(case, data_root, folder) for case in entry["cases"])
        check_cases(cases, made_by_name="folds are")
        head = section(HeadTraining, entry.get("head", {}))
        if head.steps < 1:
            raise InputError("The training configuration's head needs steps; only the decoder can do without.")
        resnet38 = _paper_section(ResNetTraining, "resnet38", entry)
        lora = _paper_section(LoraTraining, "lora", entry)
        if lora is not None and lora.prompts == "resnet38" and resnet38 is None:
            raise InputError("The training configuration's lora wants prompts of resnet38, which has no section.")
        return cls(
            name=entry["name"],
            version=str(entry["version"]),
            target=entry["target"],
            seed=entry["seed"],
            work=(folder / entry["work"]).resolve(),
            output=(folder / entry["output"]).resolve(),
            views=entry["views"],
            precision=check_precision(entry.get("precision", PRECISIONS[0])),
            preprocessing=section(PreprocessingSpec, entry.get("preprocessing", {})),
            cases=cases,
            head=head,
            decoder=section(DecoderTraining, entry.get("decoder", {})),
            folder=folder,
            resnet38=resnet38,
            lora=lora,
        )


def _paper_section(kind: Any, name: str, entry: dict[str, Any]) -> Any:
    """One of the paper's parts; None where the configuration does not have it."""
    if name not in entry:
        return None
    found = section(kind, entry[name])
    found.check()
    return found
