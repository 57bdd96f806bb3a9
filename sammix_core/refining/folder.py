"""Finds a refiner's folder and checks what it is for; needs no torch."""

from __future__ import annotations

from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.model_store.store import ModelFolder, resolve

METHOD = "refiner"
LIVER, LESION = "liver", "lesion"
_REFINED = {LIVER: "the liver", LESION: "lesions"}


def is_refiner(folder: ModelFolder) -> bool:
    """Whether a model refines slices."""
    return folder.manifest.guidance.get("name") == METHOD


def open_refiner(model: str | Path, target: str) -> ModelFolder:
    """Finds a refiner.

    Args:
        model: Its name or folder.
        target: `LIVER` or `LESION`, what is to be refined.

    Raises:
        InputError: There is none, it is another kind of model, or it refines something else.
    """
    folder = resolve(model)
    if not is_refiner(folder):
        raise InputError(f"{folder.spec} is no refiner of slices; benchmarks/refiner/train_refiner.py makes one.")
    if folder.manifest.target != target:
        known = _REFINED.get(folder.manifest.target, folder.manifest.target)
        raise InputError(f"{folder.spec} refines {known}, not {_REFINED[target]}.")
    return folder
