"""`sammix train` with `method: sammix`: from a configuration to a model folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sammix_core.embeddings.view_store import key_of
from sammix_core.engines.openvino_compiler import INT8
from sammix_core.guidance.embedding_cam import PREFIX
from sammix_core.guidance.resnet38_cam import WEIGHTS_FILE as RESNET38_FILE
from sammix_core.model_store.manifest import Manifest
from sammix_core.model_store.store import ModelFolder, open_model
from sammix_core.model_store.weights import write_model
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.training.context import TrainingContext
from sammix_core.training.output import check_free, litemedsam_manifest, model_card
from sammix_core.training.semi_supervised.bank import Bank, BankMaker, bank_store
from sammix_core.training.semi_supervised.cases import load_partly_labelled_case
from sammix_core.training.semi_supervised.config import METHOD, SemiSupervisedConfig
from sammix_core.training.semi_supervised.fabric import make_fabric
from sammix_core.training.semi_supervised.guides import EmbeddingGuide, ResNetGuide
from sammix_core.training.semi_supervised.network import SamMix
from sammix_core.training.semi_supervised.split import Split, split_of
from sammix_core.training.semi_supervised.trainer import Outcome, train_sammix
from sammix_core.training.view_encoder import ViewEncoder

SPLIT_FILE = "split.json"


def train_semi_supervised(
    path: str | Path, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
) -> ModelFolder:
    """Trains the model that a configuration describes and writes its folder.

    Every process of several runs this; the first one draws, encodes and writes, and each returns the model.

    Args:
        path: The YAML file.
        progress: Called after each step of each stage.
        cancel: Polled after each step; return True to stop. What is finished stays for the next run.

    Raises:
        InputError: The configuration or a case cannot be used, or that version is there already.
        Cancelled: The user stopped.
    """
    config = SemiSupervisedConfig.read(path)
    spec = check_free(_manifest(config, {}, {}, {}), config.output)
    cases = [load_partly_labelled_case(case) for case in config.cases]
    fabric = make_fabric(config.accelerator, config.devices, config.nodes, config.precision)
    first = fabric.is_global_zero
    progress = progress if first else None
    # The first process encodes, on a CPU with OpenVINO, which takes a while to set up.
    encoder = ViewEncoder(config.encoder)
    encoder.check()
    device, engine = (torch.device("cpu"), "openvino") if encoder.precision == INT8 else (fabric.device, "auto")
    backend = LiteMedSam(device, engine=engine if first else "torch", precision=encoder.precision)
    maker = BankMaker(config.work / "views", config.preprocessing, backend, encoder.identity, progress, cancel)
    if first:
        split_of(cases, config.sammix.held_back, config.seed, config.work / SPLIT_FILE)
        for case in cases:
            maker.make(case, config.sammix.views)
    fabric.barrier()
    split = Split.read(config.work / SPLIT_FILE)
    banks = [maker.make(case, config.sammix.views) for case in cases]
    checkpoint = config.work / "checkpoints" / f"sammix-{state_key(banks, split, config, fabric.world_size)}.pt"
    context = TrainingContext("SAM-Mix", checkpoint, config.seed, fabric, progress, cancel)
    outcome = train_sammix(backend.network.cpu(), banks, split, config.sammix, fabric, context)
    if first:
        _write(config, outcome, split)
    fabric.barrier()
    return open_model(config.output / spec)


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
        **({} if outcome.shares is None else {"shares": asdict(outcome.shares)}),
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
    return litemedsam_manifest(config, {"name": config.sammix.guidance, **guidance}, masks, metrics)


def state_key(banks: Sequence[Bank], split: Split, config: SemiSupervisedConfig, processes: int) -> str:
    """Twelve hexadecimal digits of everything that a training depends on."""
    slices = [
        [
            bank_store(bank.case, bank.frame, Path(), config.preprocessing).folder.name,
            sorted((index, hashlib.sha256(mask.tobytes()).hexdigest()) for index, mask in bank.case.masks.items()),
            bank.case.absent,
            bank.case.present,
        ]
        for bank in banks
    ]
    held_back = {name: list(indices) for name, indices in split.held_back.items()}
    return key_of([slices, held_back, asdict(config.sammix), config.seed, config.precision, processes, config.encoder])
