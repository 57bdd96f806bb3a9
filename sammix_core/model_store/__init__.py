"""Where models live, what they say about themselves, and whether they are what they say.

A model is a folder with `weights.safetensors`, `manifest.json` (`sammix-model/1`) and `MODEL_CARD.md`. Shipped models
lie inside the package, the user's own in a data folder. See `docs/formats/model.md`.
"""

from sammix_core.model_store.activation import activate, active_models, check_usable, default_name, is_active
from sammix_core.model_store.base_weights import LITE_MEDSAM, find_base_weights
from sammix_core.model_store.manifest import SCHEMA, WEIGHTS_FILE, Manifest
from sammix_core.model_store.store import (
    ModelFolder,
    find_faults,
    list_models,
    open_model,
    remove,
    resolve,
    user_folder,
    user_models_folder,
    verify,
)

__all__ = [
    "LITE_MEDSAM",
    "SCHEMA",
    "WEIGHTS_FILE",
    "Manifest",
    "ModelFolder",
    "activate",
    "active_models",
    "check_usable",
    "default_name",
    "find_base_weights",
    "find_faults",
    "is_active",
    "list_models",
    "open_model",
    "remove",
    "resolve",
    "user_folder",
    "user_models_folder",
    "verify",
]
