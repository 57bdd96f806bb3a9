"""How a backend is built from a model's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from sammix_core.engines.openvino_compiler import FLOAT32
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
