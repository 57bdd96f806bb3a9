"""Trains SAM-Mix for a row and makes of it what the product segments with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from sammix_core.embeddings.view_store import key_of
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.progress import ProgressCallback
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.context import TrainingContext
from sammix_core.training.semi_supervised.bank import Bank
from sammix_core.training.semi_supervised.network import SamMix
from sammix_core.training.semi_supervised.settings import SamMixTraining
from sammix_core.training.semi_supervised.split import Split
from sammix_core.training.semi_supervised.trainer import Outcome, train_sammix

from . import baselines
from .cells import Cell
from .embeddings import KeptEncoder
from .methods import PRECISION

CPU = torch.device("cpu")


def checkpoint_of(cell: Cell, masks: int, settings: SamMixTraining | None, depends_on: list[Any], work: Path) -> Path:
    """A training's file; its name changes with what it is trained on and how.

    Args:
        cell: The training.
        masks: How many masks it is given.
        settings: How SAM-Mix is trained; None for a baseline.
        depends_on: JSON values that stand for the cases.
        work: Folder for checkpoints.
    """
    how = {"steps": baselines.STEPS} if settings is None else asdict(settings)
    key = key_of([depends_on, how, PRECISION, cell.protocol, cell.patients_labelled], 8)
    return work / "checkpoints" / f"{cell.method}-{masks}-{cell.draw}-{key}.pt"


def trained(
    cell: Cell,
    banks: Sequence[Bank],
    split: Split,
    settings: SamMixTraining,
    checkpoint: Path,
    base: LiteMedSam,
    progress: ProgressCallback,
) -> Outcome:
    """Trains, or continues from the checkpoint; a finished model is only read."""
    fabric = Fabric(accelerator="cpu", devices=1, precision=PRECISION)
    context = TrainingContext(cell.method, checkpoint, cell.draw, fabric, progress)
    return train_sammix(base.network, banks, split, settings, fabric, context)


def model_of(network: SamMix, base: LiteMedSam, encoder: KeptEncoder, spec: PreprocessingSpec) -> LoadedModel:
    """What the product would load: boxes and masks as a trained model has them.

    Args:
        network: The trained network.
        base: A LiteMedSAM of its own whose decoder may be changed.
        encoder: Keeps the plain encoder's embeddings; not used where the encoder has learnt.
        spec: The preprocessing that it was trained with.
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
        spec,
        network.guide.boxes,
        network.masks,
        CPU,
        FollowSettings(),
    )
