"""The training configuration of M-SAM: a YAML file with `method: msam`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sammix_core.datasets.cases import CaseConfig
from sammix_core.engines.device import choose_device
from sammix_core.errors import InputError
from sammix_core.refinement.msam.adapt import RANK
from sammix_core.refinement.msam.crops import HU, NORMALISED
from sammix_core.refinement.msam.spec import COMPACT, FULL, MSamSpec
from sammix_core.refinement.msam.stages import REFINING_STAGES
from sammix_core.training.config_values import (
    PRECISIONS,
    check_cases,
    check_config_keys,
    check_kind,
    check_precision,
    read_entry,
    section,
)

METHOD = "msam"
NETWORKS = {"full": FULL, "compact": COMPACT}
LORA, WHOLE = "lora", "whole"
_TEXTS = ("name", "version", "target", "data_root", "work", "output")
_REQUIRED = {*_TEXTS, "method", "seed", "cases"}


@dataclass(frozen=True)
class MSamTraining:
    """How M-SAM is trained; defaults are its authors' but for the number of steps.

    Attributes:
        network: "full" (SAM-Med3D's sizes) or "compact", for a CPU.
        base_weights: SAM-Med3D's file, beside the configuration; "" for fresh weights.
        encoder: What of the image encoder is trained: "lora" on top of the base weights, or the "whole" of it.
        rank: Of LoRA.
        refining_stages: Stages after the main one.
        steps: Optimiser steps.
        batch: Cubes a step.
        learning_rate: Of encoder and adapter.
        decoder_rate: Of prompt encoder and decoder.
        weight_decay: AdamW's.
        first_drop, second_drop: Shares of the steps after which the rates fall to a tenth.
        flips: Turn each axis of a cube round half of the time.
        shift: Voxels that a cube may lie off the middle of a component.
        values: "hu", or "normalised" for images that are no CT in Hounsfield units.
        device: "auto", "cpu" or "cuda".
    """

    network: str = "full"
    base_weights: str = ""
    encoder: str = LORA
    rank: int = RANK
    refining_stages: int = REFINING_STAGES
    steps: int = 4000
    batch: int = 2
    learning_rate: float = 8e-4
    decoder_rate: float = 8e-5
    weight_decay: float = 0.1
    first_drop: float = 0.6
    second_drop: float = 0.9
    flips: bool = True
    shift: int = 0
    values: str = HU
    device: str = "auto"

    def check(self) -> None:
        """Refuses values that there are not, or that do not fit each other.

        Raises:
            InputError: One of them.
        """
        choices = {"network": tuple(NETWORKS), "encoder": (LORA, WHOLE), "values": (HU, NORMALISED)}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise InputError(
                    f"The training configuration's msam has the {key} {getattr(self, key)!r}; choose one of "
                    f"{', '.join(known)}."
                )
        if min(self.steps, self.batch, self.rank) < 1:
            raise InputError("The training configuration's msam needs steps, a batch and a rank.")
        if self.encoder == LORA and not self.base_weights:
            raise InputError(
                "The training configuration's msam wants LoRA on weights that nobody trained: name base_weights, or "
                "say encoder: whole."
            )


@dataclass(frozen=True)
class MSamConfig:
    """A whole configuration, paths resolved.

    Attributes:
        name, version, target: Of the model that is made.
        seed: Of everything random.
        work: Folder for checkpoints.
        output: Folder below which the model's folder is written.
        precision: Lightning Fabric's.
        cases: What is trained on.
        training: How.
        spec: Sizes of the network.
        base_weights: SAM-Med3D's file, or None.
        folder: Where the configuration lies.
    """

    name: str
    version: str
    target: str
    seed: int
    work: Path
    output: Path
    precision: Any
    cases: tuple[CaseConfig, ...]
    training: MSamTraining
    spec: MSamSpec
    base_weights: Path | None
    folder: Path

    @classmethod
    def read(cls, path: str | Path) -> MSamConfig:
        """Reads a configuration.

        Raises:
            InputError: The file is missing, not YAML, has unknown or missing keys, or names files that are not there.
        """
        path = Path(path)
        entry = read_entry(path)
        check_config_keys(path, entry, _REQUIRED, {"precision", "msam"})
        kinds = {**dict.fromkeys(_TEXTS, str), "seed": int, "cases": list, "msam": dict}
        for key, kind in kinds.items():
            check_kind(key, entry.get(key, kind()), kind)
        settings = dict(entry.get("msam", {}))
        sizes = settings.pop("sizes", {})
        check_kind("sizes", sizes, dict)
        training = section(MSamTraining, settings)
        training.check()
        choose_device(training.device)
        folder = path.resolve().parent
        base = folder / training.base_weights if training.base_weights else None
        if base is not None and not base.is_file():
            raise InputError(f"The training configuration's base_weights are not there: {base} is no file.")
        return cls(
            name=entry["name"],
            version=entry["version"],
            target=entry["target"],
            seed=entry["seed"],
            work=(folder / entry["work"]).resolve(),
            output=(folder / entry["output"]).resolve(),
            precision=check_precision(entry.get("precision", PRECISIONS[0])),
            cases=_cases(entry["cases"], folder / entry["data_root"], folder),
            training=training,
            spec=MSamSpec.from_dict({**NETWORKS[training.network].to_dict(), **sizes}),
            base_weights=base,
            folder=folder,
        )


def _cases(entries: list[Any], data_root: Path, folder: Path) -> tuple[CaseConfig, ...]:
    cases = tuple(CaseConfig.from_dict(case, data_root, folder) for case in entries)
    check_cases(cases)
    return cases
