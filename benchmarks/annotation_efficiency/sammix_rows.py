"""Trains SAM-Mix for a row and makes of it what the product segments with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
from lightning.fabric import Fabric

from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.progress import ProgressCallback
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.context import TrainingContext
from sammix_core.training.semi_supervised.network import SamMix
from sammix_core.training.semi_supervised.trainer import Outcome, train_sammix

from . import baselines
from .embeddings import KeptEncoder
from .methods import PRECISION, Method
from .patient import Patient

CPU = torch.device("cpu")


def checkpoint_of(method: Method, count: int, seed: int, patient: Patient, work: Path) -> Path:
    """A training's file; its name changes with the patient and the settings."""
    settings = asdict(method.settings) if method.network == "sammix" else {"steps": baselines.STEPS}
    parts = [patient.bank.case.name, settings, PRECISION]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    return work / "checkpoints" / f"{method.name}-{count}-{seed}-{key}.pt"


def trained(
    method: Method, count: int, seed: int, patient: Patient, work: Path, base: LiteMedSam, progress: ProgressCallback
) -> Outcome:
    """Trains, or continues from the checkpoint; a finished model is only read."""
    bank, split = patient.with_masks(count, seed)
    fabric = Fabric(accelerator="cpu", devices=1, precision=PRECISION)
    checkpoint = checkpoint_of(method, count, seed, patient, work)
    context = TrainingContext(method.name, checkpoint, seed, fabric, progress)
    return train_sammix(base.network, [bank], split, method.settings, fabric, context)


def model_of(network: SamMix, base: LiteMedSam, encoder: KeptEncoder) -> LoadedModel:
    """What the product would load: boxes and masks as a trained model has them.

    Args:
        network: The trained network.
        base: A LiteMedSAM of its own whose decoder may be changed.
        encoder: Keeps the plain encoder's embeddings; not used where the encoder has learnt.
    """
    base.load_trained({name: p.detach() for name, p in network.decoder.named_parameters()})
    backend: KeptEncoder | LiteMedSam = encoder
    if network.encoder is not None:
        backend = LiteMedSam(CPU, adapter=lora.lora_state(network.encoder))
        backend.load_trained({name: p.detach() for name, p in network.decoder.named_parameters()})
    return LoadedModel(
        "row",
        backend,
        network.guide.finished(CPU),
        PreprocessingSpec(),
        network.guide.boxes,
        network.masks,
        CPU,
        FollowSettings(),
    )
