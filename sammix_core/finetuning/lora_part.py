"""LoRA on the image encoder, where the user asks for it: trained on top of the parent's own, if it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from sammix_core.finetuning.candidate import Weights, head_from
from sammix_core.finetuning.part_training import LearningMaterial, PartTrainer
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.store import ModelFolder
from sammix_core.model_store.weights import load_model_weights
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.lora_training import DecoderAndHead
from sammix_core.training.settings import LoraTraining

# Each step takes seconds on two cores, since the gradient goes through the encoder.
SETTINGS = LoraTraining(steps=60, batch=2, learning_rate=1e-4)


@dataclass(frozen=True)
class Adapted:
    """What LoRA's training gives.

    Attributes:
        weights: Head and decoder, which went along.
        adapter: LoRA's matrices, the parent's included.
        backend: LiteMedSAM with them.
    """

    weights: Weights
    adapter: dict[str, torch.Tensor]
    backend: LiteMedSam


def adapt(
    trainer: PartTrainer, folder: ModelFolder, parent: LoadedModel, weights: Weights, material: LearningMaterial
) -> Adapted:
    """Trains LoRA and builds the encoder with it.

    Args:
        trainer: Trains.
        folder: The parent's folder.
        parent: The parent.
        weights: Head and decoder to begin with.
        material: What to learn from.
    """
    result = trainer.lora(material, DecoderAndHead(weights.decoder, head_from(weights.head)), SETTINGS)
    adapter = result.adapter
    if lora.WEIGHTS_FILE in folder.manifest.files:
        adapter = stacked(load_model_weights(folder, lora.WEIGHTS_FILE), adapter)
    adapter = {name: tensor.to(torch.float16).float() for name, tensor in adapter.items()}  # as it is stored
    backend = LiteMedSam(parent.device, None, "auto", adapter)
    return Adapted(Weights(dict(result.head.state_dict()), result.decoder), adapter, backend)


def stacked(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Two adapters as one whose change is the sum of theirs, its rank the sum of their ranks.

    B1 A1 + B2 A2 = [B1 B2] [A1; A2].

    Args:
        first: Matrices by name, "NAME.lora_A" (rank, in) and "NAME.lora_B" (out, rank).
        second: Likewise, of the same encoder.
    """
    return {
        name: torch.cat([first[name], second[name]], dim=0 if name.endswith(".lora_A") else 1) if name in first else new
        for name, new in second.items()
    }


def encoder_key(folder: ModelFolder) -> str:
    """Names the weights of a model's encoder."""
    return f"{LITE_MEDSAM.sha256[:16]}-{folder.manifest.files.get(lora.WEIGHTS_FILE, '')[:16]}"
