"""Finds a refiner's folder, by default the shipped one, and checks its target; needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.errors import InputError
from sammix_core.model_store.manifest import REFINER
from sammix_core.model_store.organs import DEFAULT_ORGAN
from sammix_core.model_store.store import ModelFolder, resolve

if TYPE_CHECKING:
    from sammix_core.preprocessing.spec import PreprocessingSpec

LIVER, LESION = DEFAULT_ORGAN.name, "lesion"
SHIPPED = {LIVER: "liver-refiner", LESION: "lesion-refiner"}
_REFINED = {LIVER: "the liver", LESION: "lesions"}


def is_refiner(folder: ModelFolder) -> bool:
    """Whether a model refines slices."""
    return folder.manifest.guidance.get("name") == REFINER


def open_refiner(model: str | Path | None, target: str) -> ModelFolder:
    """Finds a refiner.

    Args:
        model: Its name or folder; None for the shipped one.
        target: The structure to refine: `LIVER`, `LESION`, or another model's target.

    Raises:
        InputError: There is none, it is another kind of model, or it refines another structure.
    """
    if model is None and target not in SHIPPED:
        raise InputError(f"No refiner of the {target} is shipped; name one of your own with --refiner.")
    folder = resolve(SHIPPED[target] if model is None else model)
    if not is_refiner(folder):
        raise InputError(f"{folder.spec} is no refiner of slices; benchmarks/refiner/train_refiner.py makes one.")
    refined = folder.manifest.target
    if refined != target:
        raise InputError(
            f"{folder.spec} refines {_REFINED.get(refined, refined)}, not {_REFINED.get(target, f'the {target}')}."
        )
    return folder


def check_slices(folder: ModelFolder, preprocessing: PreprocessingSpec) -> None:
    """Refuses slices that are prepared differently from those that a refiner was trained on.

    Args:
        folder: As `open_refiner` returns it.
        preprocessing: Of the embeddings that the refiner would get.

    Raises:
        InputError: The slices are prepared differently.
    """
    from sammix_core.preprocessing.spec import PreprocessingSpec

    if PreprocessingSpec.from_dict(folder.manifest.preprocessing) != preprocessing:
        raise InputError(f"{folder.spec} was trained on slices that were prepared differently from this model's.")
