"""Models that need no training, for tests of what surrounds them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from sammix_core.guidance.embedding_cam import NAME, PREFIX
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.model_store import LITE_MEDSAM, Manifest, resolve
from sammix_core.model_store.weights import write_model
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam.decoding import MaskSettings


def an_untrained_model(parent: Path) -> Path:
    """LiteMedSAM as published, with a guidance head as it was born; its folder. Good masks need boxes from outside."""
    torch.manual_seed(0)
    head = EmbeddingHead()
    manifest = Manifest(
        name="untrained",
        version="1.0.0",
        target="liver",
        created="2025-01-31",
        base_model={"name": LITE_MEDSAM.name, "sha256": LITE_MEDSAM.sha256},
        files={"weights.safetensors": "0" * 64},
        preprocessing=PreprocessingSpec().to_dict(),
        guidance={"name": NAME},
        # The map of this head means nothing, so it prompts nothing.
        postprocessing=MaskSettings(mask_prompt=False).to_dict(),
        metrics={},
        training_cases=[],
    )
    state = {PREFIX + name: tensor for name, tensor in head.state_dict().items()}
    return write_model(parent, manifest, state, "A model for tests.\n").path


def a_liver_model_without_plausibility(parent: Path, parts: bool = True) -> Path:
    """The shipped liver model, which takes any drawing for a CT; its folder.

    Args:
        parent: Where it is made.
        parts: Whether it adds boxes for missing parts; without them a slice has one automatic box.
    """
    folder = parent / "liver"
    shutil.copytree(resolve("liver").path, folder)
    (folder / "plausibility.safetensors").unlink()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest["guidance"]["plausibility"], manifest["files"]["plausibility.safetensors"]
    manifest["guidance"]["following"]["parts"] = parts
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
