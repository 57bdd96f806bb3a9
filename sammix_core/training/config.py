"""The training configuration, a YAML file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from sammix_core.errors import InputError
from sammix_core.preprocessing import PreprocessingSpec
from sammix_core.training.cases import CaseConfig


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

    steps: int = 350
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

    @classmethod
    def read(cls, path: str | Path) -> TrainingConfig:
        """Reads a configuration.

        Raises:
            InputError: The file is missing, not YAML, or has unknown or missing keys; names the key.
        """
        path = Path(path)
        try:
            entry = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"The training configuration {path} cannot be read: {error.strerror}.") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is no YAML, so it is no training configuration.") from error
        required = {"name", "version", "target", "seed", "data_root", "work", "output", "views", "cases"}
        optional = {"preprocessing", "head", "decoder", "precision"}
        if not isinstance(entry, dict) or not required <= entry.keys() <= required | optional:
            keys = set(entry) if isinstance(entry, dict) else set()
            wrong = sorted((required - keys) | (keys - required - optional))
            raise InputError(f"The training configuration {path} has missing or unknown keys: {', '.join(wrong)}.")
        folder = path.resolve().parent
        data_root = folder / entry["data_root"]
        cases = tuple(CaseConfig.from_dict(case, data_root, folder) for case in entry["cases"])
        for case in cases:
            for file in (case.ct, case.labels):
                if not file.exists():
                    raise InputError(f"The training case {case.name} needs {file}, which is not there.")
        return cls(
            name=entry["name"],
            version=str(entry["version"]),
            target=entry["target"],
            seed=int(entry["seed"]),
            work=(folder / entry["work"]).resolve(),
            output=(folder / entry["output"]).resolve(),
            views=int(entry["views"]),
            precision=entry.get("precision", "32-true"),
            preprocessing=PreprocessingSpec.from_dict(entry.get("preprocessing", {})),
            cases=cases,
            head=_section(HeadTraining, entry.get("head", {})),
            decoder=_section(DecoderTraining, entry.get("decoder", {})),
            folder=folder,
        )


def _section(kind: Any, entry: dict[str, Any]) -> Any:
    """Builds one section's dataclass, refusing keys that it does not have."""
    unknown = sorted(set(entry) - {field.name for field in fields(kind)})
    if unknown:
        raise InputError(f"The training configuration does not know the key {unknown[0]!r}.")
    return kind(**entry)
