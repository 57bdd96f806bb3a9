"""Weights as safetensors: no code in them, half precision on disk, single precision in use, checked before use.

torch is imported inside the functions, so that models can be listed and verified without it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.errors import InputError
from sammix_core.files import atomic_path, sha256_of, write_text_atomic
from sammix_core.model_store.manifest import MANIFEST_FILE, WEIGHTS_FILE, Manifest
from sammix_core.model_store.store import (
    CARD_FILE,
    ModelFolder,
    open_model,
    shipped_models_folder,
    user_models_folder,
)

if TYPE_CHECKING:
    from torch import Tensor


def save_weights(state: Mapping[str, Tensor], path: str | Path, *, float16: bool = True) -> str:
    """Writes tensors to a safetensors file, whole or not at all; the same tensors always give the same bytes.

    Args:
        state: Tensors by name, as `Module.state_dict()` gives them, of any device.
        path: The file to write.
        float16: Store floating point tensors in half precision, which halves the file and costs three decimals.

    Returns:
        The SHA-256 of the file.

    Raises:
        InputError: The file cannot be written.
        ValueError: A tensor holds NaN or infinity, or numbers too large for half precision.
    """
    import torch
    from safetensors.torch import save_file

    stored = {}
    for name, tensor in state.items():
        # A copy: safetensors refuses tensors that share memory, as tied weights do.
        copy = tensor.detach().to("cpu", copy=True).contiguous()
        if copy.is_floating_point():
            copy = copy.to(torch.float16 if float16 else torch.float32)
            if not bool(torch.isfinite(copy).all()):
                raise ValueError(f"{name} holds numbers that are not finite, or too large for half precision")
        stored[name] = copy
    with atomic_path(path) as temporary:
        save_file(stored, temporary, metadata={"format": "pt"})
        return sha256_of(temporary)


def load_weights(path: str | Path, sha256: str) -> dict[str, Tensor]:
    """Reads a safetensors file if it is the expected one.

    The file is read once, so that the checked bytes are the ones used.

    Args:
        path: The file.
        sha256: The SHA-256 that it must have.

    Returns:
        Tensors by name on the CPU; floating point ones in single precision.

    Raises:
        InputError: The file cannot be read, is another one, or is no safetensors file.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The weights {path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path} is not the file that the model's manifest names: its SHA-256 is another one.")
    try:
        stored = load(data)
    except SafetensorError:
        raise InputError(f"{path} is no safetensors file.") from None
    return {name: t.to(torch.float32) if t.is_floating_point() else t for name, t in stored.items()}


def load_model_weights(model: ModelFolder, file: str = WEIGHTS_FILE) -> dict[str, Tensor]:
    """Reads a model's weights, checked against its manifest.

    Args:
        model: The model.
        file: One of the files that its manifest names.

    Returns:
        Tensors by name on the CPU; floating point ones in single precision.

    Raises:
        InputError: The manifest names no such file, or `load_weights` refuses it.
    """
    if file not in model.manifest.files:
        raise InputError(f"The manifest of {model.spec} names no file {file}.")
    return load_weights(model.path / file, model.manifest.files[file])


def write_model(
    parent: str | Path,
    manifest: Manifest,
    state: Mapping[str, Tensor],
    card: str,
    *,
    float16: bool = True,
    more: Mapping[str, Mapping[str, Tensor]] | None = None,
    copies: Mapping[str, Path] | None = None,
    exact: Collection[str] = (),
) -> ModelFolder:
    """Writes a model to `parent/<name>/<version>/`; the folder appears when it is complete.

    Args:
        parent: The folder of models, such as `user_models_folder()`. Created when absent.
        manifest: The manifest; its `files` is replaced by what is written.
        state: The weights.
        card: The text of `MODEL_CARD.md`.
        float16: Store the weights in half precision.
        more: Further files of weights by name, such as LoRA's.
        copies: Files to copy as they are, by name, such as the int8 ranges of the encoder.
        exact: Those of them that stay in single precision.

    Returns:
        The model as it lies there.

    Raises:
        InputError: That version is there already, the name belongs to a shipped model, or the disk is full.
        ValueError: The weights or metrics hold numbers that are not finite.
    """
    parent = Path(parent).expanduser().resolve()
    folder = parent / manifest.name / manifest.version
    if folder.exists():
        raise InputError(
            f"The model {manifest.spec} is there already, in {folder}; remove it, or choose another version."
        )
    if parent == user_models_folder() and (shipped_models_folder() / manifest.name).is_dir():
        raise InputError(f"The name {manifest.name!r} belongs to a model shipped with SAMMix; choose another one.")
    unfinished = folder.with_name(f".unfinished-{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        parts = {WEIGHTS_FILE: state, **(more or {})}
        digests = {
            file: save_weights(part, unfinished / file, float16=float16 and file not in exact)
            for file, part in parts.items()
        }
        for file, source in (copies or {}).items():
            shutil.copyfile(source, unfinished / file)
            digests[file] = sha256_of(unfinished / file)
        write_text_atomic(unfinished / CARD_FILE, card)
        replace(manifest, files=digests).write(unfinished / MANIFEST_FILE)
        os.replace(unfinished, folder)
    except OSError as error:
        raise InputError(f"{folder} could not be written: {(error.strerror or str(error)).lower()}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):  # goes only when it is empty, so after a failure
            folder.parent.rmdir()
    return open_model(folder)
