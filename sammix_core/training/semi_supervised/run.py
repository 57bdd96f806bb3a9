"""`sammix train` with `method: sammix`: from a configuration to a model folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from sammix_core.errors import InputError
from sammix_core.guidance.embedding_cam import PREFIX
from sammix_core.guidance.resnet38_cam import WEIGHTS_FILE as RESNET38_FILE
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.manifest import Manifest
from sammix_core.model_store.store import ModelFolder, open_model
from sammix_core.model_store.weights import write_model
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.training.config_values import model_card
from sammix_core.training.semi_supervised.bank import Bank, bank_folder, prepare_bank
from sammix_core.training.semi_supervised.config import METHOD, SemiSupervisedConfig
from sammix_core.training.semi_supervised.fabric import make_fabric
from sammix_core.training.semi_supervised.guides import EmbeddingGuide, ResNetGuide
from sammix_core.training.semi_supervised.network import SamMix
from sammix_core.training.semi_supervised.pool import load_pool
from sammix_core.training.semi_supervised.split import Split, split_of
from sammix_core.training.semi_supervised.trainer import Outcome, train_sammix

SPLIT_FILE = "split.json"


def train_semi_supervised(
    path: str | Path, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
) -> ModelFolder:
    """Trains the model that a configuration describes and writes its folder.

    Every process of several runs this; the first one draws, encodes and writes, and each returns the model.

    Args:
        path: The YAML file.
        progress: Told how far each stage is.
        cancel: Asked after each step; what is finished stays for the next run.

    Raises:
        InputError: The configuration or a case cannot be used, or that version is there already.
        Cancelled: The user stopped.
    """
    config = SemiSupervisedConfig.read(path)
    spec = _manifest(config, {}, {}, {}).spec  # refuses a name or version that cannot be, before hours of work
    if (config.output / spec).exists():
        raise InputError(f"The model {spec} is there already, in {config.output / spec}; choose another version.")
    pools = [load_pool(case, config.preprocessing) for case in config.cases]
    fabric = make_fabric(config.accelerator, config.devices, config.nodes, config.precision)
    first = fabric.is_global_zero
    progress = progress if first else None
    # The first process encodes, on a CPU with OpenVINO, which takes a while to set up.
    backend = LiteMedSam(fabric.device, engine="auto" if first else "torch")
    if first:
        split_of(pools, config.sammix.held_back, config.seed, config.work / SPLIT_FILE)
        for pool in pools:
            prepare_bank(
                pool, config.sammix.views, config.work / "views", config.preprocessing, backend, progress, cancel
            )
    fabric.barrier()
    split = Split.read(config.work / SPLIT_FILE)
    banks = [
        prepare_bank(pool, config.sammix.views, config.work / "views", config.preprocessing, backend, None, None)
        for pool in pools
    ]
    outcome = train_sammix(
        backend.network.cpu(),
        banks,
        split,
        config.sammix,
        config.seed,
        fabric,
        _checkpoint(config, banks, split, fabric),
        "SAM-Mix",
        progress,
        cancel,
    )
    folder = config.output / spec
    if first:
        folder = _write(config, outcome, split).path
    fabric.barrier()
    return open_model(folder)


def _write(config: SemiSupervisedConfig, outcome: Outcome, split: Split) -> ModelFolder:
    network = outcome.network
    trained, total = network.trainable_share()
    metrics = {
        "method": METHOD,
        "held_back_dice": outcome.dice,
        "held_back_by": split.by,
        "best_step": outcome.step,
        "slices": outcome.slices,
        "parameters_trained": trained,
        "parameters": total,
    }
    state, files = tensors_of(network)
    manifest = _manifest(config, network.guide.entry(), network.masks.to_dict(), metrics)
    text = model_card(config.folder, manifest.spec)
    return write_model(config.output, manifest, state, text, more=files)


def tensors_of(network: SamMix) -> tuple[dict[str, torch.Tensor], dict[str, dict[str, torch.Tensor]]]:
    """A network's tensors as a model stores them.

    Returns:
        Those of `weights.safetensors`, and further files.
    """
    # Parameters alone: the position encoding is a fixed buffer of the base model, and half precision would blur it.
    state = {name: p.detach() for name, p in network.decoder.named_parameters()}
    files: dict[str, dict[str, torch.Tensor]] = {}
    guide = network.guide
    if isinstance(guide, EmbeddingGuide):
        state |= {PREFIX + name: tensor for name, tensor in guide.head.state_dict().items()}
    elif isinstance(guide, ResNetGuide):
        files[RESNET38_FILE] = guide.network.state_dict()
    if network.encoder is not None:
        files[lora.WEIGHTS_FILE] = lora.lora_state(network.encoder)
    return state, files


def _manifest(
    config: SemiSupervisedConfig, guidance: dict[str, Any], masks: dict[str, Any], metrics: dict[str, Any]
) -> Manifest:
    return Manifest.of_today(
        name=config.name,
        version=config.version,
        target=config.target,
        base_model={"name": LITE_MEDSAM.name, "sha256": LITE_MEDSAM.sha256},
        preprocessing=config.preprocessing.to_dict(),
        guidance={"name": config.sammix.guidance, "following": FollowSettings().to_dict(), **guidance},
        postprocessing=masks,
        metrics=metrics,
        training_cases=[case.name for case in config.cases],
    )


def _checkpoint(config: SemiSupervisedConfig, banks: Sequence[Bank], split: Split, fabric: Fabric) -> Path:
    """The checkpoint's file; its name changes with what is trained on and how."""
    return config.work / "checkpoints" / f"sammix-{state_key(banks, split, config, fabric.world_size)}.pt"


def state_key(banks: Sequence[Bank], split: Split, config: SemiSupervisedConfig, processes: int) -> str:
    """Twelve hexadecimal digits of everything that a training depends on."""
    slices = [
        [
            bank_folder(bank.pool, Path(), config.preprocessing).name,
            sorted((index, hashlib.sha256(mask.tobytes()).hexdigest()) for index, mask in bank.pool.masks.items()),
            bank.pool.absent,
            bank.pool.present,
        ]
        for bank in banks
    ]
    held = {name: list(own) for name, own in split.held_back.items()}
    parts = [slices, held, asdict(config.sammix), config.seed, config.precision, processes]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
