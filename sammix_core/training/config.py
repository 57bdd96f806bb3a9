"""The training configuration, a YAML file."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from sammix_core.errors import InputError
from sammix_core.preprocessing import PreprocessingSpec
from sammix_core.training.cases import CaseConfig
from sammix_core.training.paper_sections import LoraTraining, ResNetTraining

PRECISIONS = ("32-true", "bf16-mixed")
_KINDS = {
    **dict.fromkeys(("name", "target", "data_root", "work", "output"), str),
    **dict.fromkeys(("seed", "views"), int),
    **dict.fromkeys(("head", "decoder", "preprocessing", "resnet38", "lora"), dict),
    "cases": list,
}
_LEAST = {"batch": 1, "size": 1, "window_level": -1000}  # all other numbers begin at 0


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
        if not required <= entry.keys() <= required | optional:
            wrong = sorted(map(str, (required - entry.keys()) | (entry.keys() - required - optional)))
            raise InputError(f"The training configuration {path} has missing or unknown keys: {', '.join(wrong)}.")
        for key, kind in _KINDS.items():
            check_kind(key, entry.get(key, kind()), kind)
        folder = path.resolve().parent
        data_root = folder / entry["data_root"]
        cases = tuple(CaseConfig.from_dict(case, data_root, folder) for case in entry["cases"])
        if len({case.name for case in cases}) < len(cases):
            raise InputError("Two training cases have the same name; folds are made by it, so each needs its own.")
        for case in cases:
            for file in (case.ct, case.labels):
                if not file.exists():
                    raise InputError(f"The training case {case.name} needs {file}, which is not there.")
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


def read_entry(path: Path) -> dict[Any, Any]:
    """Reads a configuration's keys and values, whatever its method.

    Raises:
        InputError: The file is missing, not YAML, or something else than keys and values.
    """
    try:
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The training configuration {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML, so it is no training configuration.") from error
    if not isinstance(entry, dict):
        raise InputError(f"The training configuration {path} must be keys and values.")
    return entry


def section(kind: Any, entry: dict[str, Any]) -> Any:
    """Builds one section's dataclass, refusing keys that it does not have and values of another kind."""
    known = {field.name: field.default for field in fields(kind)}
    unknown = sorted(map(str, entry.keys() - known.keys()))
    if unknown:
        raise InputError(f"The training configuration does not know the key {unknown[0]!r}.")
    for key, value in entry.items():
        check_kind(key, value, type(known[key]))
    return kind(**entry)


def _paper_section(kind: Any, name: str, entry: dict[str, Any]) -> Any:
    """One of the paper's parts; None where the configuration does not have it."""
    if name not in entry:
        return None
    found = section(kind, entry[name])
    found.check()
    return found


def check_kind(key: str, value: Any, kind: type) -> None:
    """Refuses a value of another kind than its key has; a whole number is a number too."""
    fine = type(value) is kind or (kind is float and type(value) is int)
    least = _LEAST.get(key, 0)
    if not fine or (kind in (int, float) and not least <= value < math.inf):
        names: dict[type, str] = {str: "a text", bool: "true or false", list: "a list", dict: "keys and values"}
        name = names.get(kind, f"a {'whole ' if kind is int else ''}number from {least}")
        raise InputError(f"The training configuration's {key} must be {name}, not {value!r}.")


def check_precision(name: str) -> str:
    """Refuses a precision that training does not have."""
    if name not in PRECISIONS:
        raise InputError(f"There is no precision {name!r} for training; choose one of {', '.join(PRECISIONS)}.")
    return name
