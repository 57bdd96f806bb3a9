"""The backends by the base model that a manifest names; register a new one here.

A backend is registered as a function that builds it from a model's folder: see `BackendBuilder`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sammix_core.errors import InputError
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.store import ModelFolder
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS
from sammix_core.sam import litemedsam, vit
from sammix_core.sam.backend import SamBackend
from sammix_core.sam.options import BackendBuilder, BackendOptions

BACKENDS: dict[str, BackendBuilder] = {
    LITE_MEDSAM.name: litemedsam.build_backend,
    **dict.fromkeys(THIRD_PARTY_WEIGHTS, vit.build_backend),
}


def build_backend(folder: ModelFolder, state: Mapping[str, torch.Tensor], options: BackendOptions) -> SamBackend:
    """Builds the backend of a model.

    Args:
        folder: The model; the base model in its manifest chooses the backend.
        state: The model's weights.
        options: How the backend runs.

    Raises:
        InputError: The base model is unknown, or the weights do not fit it.
    """
    name = folder.manifest.base_model["name"]
    if name not in BACKENDS:
        raise InputError(
            f"{folder.spec} was made on the base model {name!r}; this version knows {', '.join(BACKENDS)}."
        )
    return BACKENDS[name](folder, state, options)
