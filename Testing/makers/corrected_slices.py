"""Corrected slices of made-up patients, and a model that can learn from them in seconds."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_models import an_untrained_model
from synthetic_ct import LIVER, synthetic_ct
from torch.nn import functional
from training_cases import QuickLiteMedSam

from sammix_core.datasets.correction import Source, corrections_of_volume
from sammix_core.datasets.correction_set import CorrectionSet
from sammix_core.engines.encoder_engine import TorchEngine
from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.pack import Pack
from sammix_core.model_store.manifest import MANIFEST_FILE, PACK_FILE, Manifest
from sammix_core.model_store.weights import save_weights
from sammix_core.sam import litemedsam
from sammix_core.sam.registry import BACKENDS
from sammix_core.training import decoder_training
from sammix_core.training.settings import DecoderTraining, HeadTraining
from sammix_core.volume.volume import Volume

SHAPE = (8, 50, 60)


def a_patient(seed: int = 0) -> tuple[Volume, np.ndarray]:
    """A CT and its liver, (k, j, i) bool, empty on the first slice."""
    ct = synthetic_ct(SHAPE, seed=seed)
    liver = abs(ct - LIVER) < 40
    liver[0] = False
    return Volume(ct, (6.0, 6.0, 6.0), (0.0, 0.0, 0.0), np.eye(3)), liver


def a_correction_set(
    folder: Path, slices: tuple[int, ...] = (2, 3, 4, 5), seeds: tuple[int, ...] = (0,)
) -> CorrectionSet:
    """A set with slices of one patient or several."""
    found = CorrectionSet.open_or_create(folder, "liver")
    for seed in seeds:
        volume, liver = a_patient(seed)
        key = found.case_key(volume)
        planes = {index: liver[index] for index in slices}
        for correction in corrections_of_volume(volume, None, planes, source=Source.CORRECTED, model="untrained/1.0.0"):
            found.add(correction, key)
    return found


def quick_models(home: Path, patch: pytest.MonkeyPatch) -> Path:
    """Makes the folder of the user's models, with a model in it, and everything that is slow quick.

    Returns:
        The folder of the model "untrained/1.0.0".
    """
    patch.setenv("SAMMIX_HOME", str(home))
    patch.setitem(BACKENDS, "lite_medsam", functools.partial(litemedsam.build_backend, create=_quick))
    for module in (litemedsam, decoder_training):
        patch.setattr(module, "decode_with", _quick_decode)
    recipe = recipes.Recipe(HeadTraining(4, batch=2), DecoderTraining(2, batch=1))
    patch.setattr(recipes, "gentle", lambda learnt: recipe)
    patch.setattr(recipes, "from_scratch", lambda learnt: recipe)
    # The head always moves, so that what it has learnt can be seen in the version that is offered.
    shares = {"DECODER_SHARES": (0.5, 1.0), "HEAD_SHARES": (0.5, 1.0)}
    for name, value in {**shares, "CURVE_POINTS": 1, "MOST_FOR_SHARE": 1}.items():
        patch.setattr(recipes, name, value)
    return an_untrained_model(home / "models")


def a_pack(model: Path) -> Pack:
    """Puts slices of two training patients beside a model, the third of each kept from learning; what is in them."""
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 256, 256), dtype=bool)
    masks[:, 64:160, 80:176] = True
    masks[3] = False
    embeddings = rng.normal(0, 0.05, (6, 256, 64, 64)).astype(np.float32)
    embeddings[:, :64] += masks[:, None, ::4, ::4] * 0.3
    pack = Pack.of(embeddings, masks, [0, 0, 0, 1, 1, 1], [False, False, True] * 2)
    digest = save_weights(pack.to_state(), model / PACK_FILE)
    manifest = Manifest.read(model / MANIFEST_FILE)
    replace(manifest, files={**manifest.files, PACK_FILE: digest}).write(model / MANIFEST_FILE)
    return pack


def _quick_decode(
    prompt_encoder: Any,
    mask_decoder: Any,
    embeddings: torch.Tensor,
    boxes: torch.Tensor,
    mask_logits: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Three masks by three of the decoder's own tokens, which learn; the mask prompt counts a little."""
    logits = torch.einsum("mc,nchw->nmhw", mask_decoder.mask_tokens.weight[1:4], embeddings)
    logits = functional.interpolate(logits, scale_factor=4.0, mode="bilinear")
    if mask_logits is not None:
        logits = logits + 0.1 * mask_logits
    return logits, torch.sigmoid(mask_decoder.iou_token.weight.mean()).expand(len(embeddings), 3)


def _quick(device: torch.device, *_: Any, **__: Any) -> QuickLiteMedSam:
    return copy.deepcopy(_quick_backend())


@functools.cache
def _quick_backend() -> QuickLiteMedSam:
    """The one that the others are copies of, without the encoder that it does not use."""
    backend = QuickLiteMedSam(torch.device("cpu"))
    backend.network.image_encoder = torch.nn.Identity()
    backend.engine = TorchEngine(backend.network.image_encoder)
    return backend
