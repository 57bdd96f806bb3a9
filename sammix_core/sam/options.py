"""How a backend is built from a model's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from sammix_core.engines.int8 import RANGES_FILE
from sammix_core.engines.openvino_compiler import FLOAT32
from sammix_core.errors import InputError
from sammix_core.files import sha256_of
from sammix_core.model_store.store import ModelFolder
from sammix_core.model_store.weights import load_model_weights
from sammix_core.sam import lora
from sammix_core.sam.backend import SamBackend


@dataclass(frozen=True)
class BackendOptions:
    """How a backend runs.

    Attributes:
        device: Where it computes.
        engine: How encoder and decoder run, see `make_engine`.
        precision: The encoder's, see `make_engine`.
        base_weights: A local file of the base model's weights, or None for the installed one.
    """

    device: torch.device
    engine: str = "auto"
    precision: str = FLOAT32
    base_weights: Path | None = None


class BackendBuilder(Protocol):
    """Builds the backend of a model; see `sammix_core.sam.registry.build_backend`."""

    def __call__(self, folder: ModelFolder, state: Mapping[str, torch.Tensor], options: BackendOptions) -> SamBackend:
        """Builds it.

        Raises:
            InputError: The model's weights do not fit the backend.
        """
        ...


def encoder_adapter(folder: ModelFolder) -> dict[str, torch.Tensor] | None:
    """The LoRA weights of a model's encoder, or None for a model without."""
    return load_model_weights(folder, lora.WEIGHTS_FILE) if lora.WEIGHTS_FILE in folder.manifest.files else None


def encoder_ranges(folder: ModelFolder) -> Path | None:
    """The int8 ranges that were measured on a model's own encoder, or None for a model without.

    Raises:
        InputError: The file is another one than the manifest names.
    """
    if RANGES_FILE not in folder.manifest.files:
        return None
    path = folder.path / RANGES_FILE
    if sha256_of(path) != folder.manifest.files[RANGES_FILE]:
        raise InputError(f"{path} is not the file that the model's manifest names: its SHA-256 is another one.")
    return path
