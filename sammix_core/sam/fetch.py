"""Makes a model from published weights: downloaded with consent, checked, and stored as safetensors.

The result is an ordinary `sammix-model/1` folder among the user's models, so that `sammix models` lists, verifies and
removes it like any other. Its boxes come from the guidance of another model.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.errors import InputError
from sammix_core.model_store.download import copy_checked, download, megabytes
from sammix_core.model_store.manifest import Manifest
from sammix_core.model_store.organs import DEFAULT_MODEL, DEFAULT_ORGAN
from sammix_core.model_store.store import ModelFolder, user_models_folder
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS, ThirdPartyWeights
from sammix_core.model_store.weights import write_model
from sammix_core.progress import CancelCheck, ProgressCallback

if TYPE_CHECKING:
    from torch import Tensor

VERSION = "1.0.0"
GUIDED_BY = DEFAULT_MODEL
_BOX_MARGIN = 12.0  # pixels of 1024: the 3 of 256 that our own models leave
_CARD = """# {title}

{title} as its authors published it ({licence}), fetched from {address} and stored as safetensors; nothing was trained.

- Masks are made by {title} at 1024 x 1024 pixels. It knows no liver: boxes come from the guidance of the model "{of}".
- The class activation map is not given to it as a mask prompt, which it was not trained with.
- How well it does on livers has not been measured by this project.

For research, not a medical device.
"""


def third_party_weights(name: str) -> ThirdPartyWeights:
    """Finds published weights by name.

    Raises:
        InputError: There are none of that name.
    """
    if name not in THIRD_PARTY_WEIGHTS:
        raise InputError(f"There are no published weights {name!r}; choose one of {', '.join(THIRD_PARTY_WEIGHTS)}.")
    return THIRD_PARTY_WEIGHTS[name]


def check_absent(weights: ThirdPartyWeights) -> None:
    """Refuses to fetch weights again.

    Raises:
        InputError: The model exists already.
    """
    folder = user_models_folder() / weights.name / VERSION
    if folder.exists():
        raise InputError(f"{weights.title} is there already, in {folder}; use it with --model {weights.name}.")


def what_is_asked(weights: ThirdPartyWeights) -> str:
    """The question before a download: what, from where, how much, under which licence, and to where."""
    return (
        f"Download {weights.title} ({megabytes(weights.size)}, {weights.licence}) from {weights.address} into "
        f"{user_models_folder()}? Nothing is sent but the request."
    )


def fetch(
    weights: ThirdPartyWeights,
    from_file: Path | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> ModelFolder:
    """Downloads published weights, or takes them from a file, and makes a model of them.

    Args:
        weights: Which.
        from_file: A file that was fetched otherwise, or None to download.
        progress: Called after each megabyte of the download.
        cancel: Polled now and then; return True to stop.

    Returns:
        The model, to be used by its name.

    Raises:
        InputError: The model exists already, or the file cannot be downloaded or is another one; see `download`.
        Cancelled: The user stopped; the next call resumes the download.
    """
    check_absent(weights)
    if importlib.util.find_spec("segment_anything") is None:
        raise InputError(
            f"{weights.title} needs the package segment-anything, which is not installed: pip install 'sammix[paper]'."
        )
    target = _downloads_folder(weights.size) / weights.file
    if from_file is not None:
        copy_checked(from_file, target, weights.size, weights.sha256)
    else:
        download(weights.address, target, weights.size, weights.sha256, progress, cancel)
    model = write_model(user_models_folder(), _manifest(weights), _read(target, weights), _card(weights), float16=False)
    target.unlink(missing_ok=True)
    return model


def _downloads_folder(size: int) -> Path:
    """Where files lie until they are stored; they need twice their size for a moment."""
    downloads = user_models_folder().parent / "downloads"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        there = sum(file.stat().st_size for file in downloads.iterdir())
        free = shutil.disk_usage(downloads).free
    except OSError as error:
        raise InputError(f"{downloads} cannot be used: {(error.strerror or str(error)).lower()}.") from error
    if free + there < 2 * size:
        raise InputError(
            f"There is not enough room in {downloads}: {megabytes(2 * size)} are needed, {megabytes(free)} are free."
        )
    return downloads


def _read(file: Path, weights: ThirdPartyWeights) -> Mapping[str, Tensor]:
    """The tensors of a checked file; no code in it is run."""
    import pickle

    import torch

    from sammix_core.sam.vit import build_network

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise InputError(f"{file.name} holds no weights that PyTorch can read.") from error
    build_network(weights.architecture, state)  # refuses the weights of another network before they are stored
    return state


def _manifest(weights: ThirdPartyWeights) -> Manifest:
    from sammix_core.sam.decoding import MaskSettings

    return Manifest.of_today(
        name=weights.name,
        version=VERSION,
        target=DEFAULT_ORGAN.name,
        base_model={"name": weights.name, "sha256": weights.sha256},
        preprocessing={"of": GUIDED_BY, "size": 1024},
        guidance={"name": "embedding_cam", "of": GUIDED_BY},
        postprocessing=MaskSettings(mask_prompt=False, box_margin=_BOX_MARGIN).to_dict(),
        metrics={},
        training_cases=[],
    )


def _card(weights: ThirdPartyWeights) -> str:
    return _CARD.format(title=weights.title, licence=weights.licence, address=weights.address, of=GUIDED_BY)
