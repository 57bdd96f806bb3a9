"""Trains M-SAM: `sammix train` with `method: msam`. Seeded, and resumed from its checkpoint to the same result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from sammix_core.embeddings.view_store import key_of
from sammix_core.engines.device import choose_device
from sammix_core.files import sha256_of
from sammix_core.model_store.manifest import Manifest
from sammix_core.model_store.store import ModelFolder
from sammix_core.model_store.weights import write_model
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.refinement.msam.adapt import train_with_lora
from sammix_core.refinement.msam.base_weights import NAME as SAM_MED3D
from sammix_core.refinement.msam.base_weights import load_sam_med3d, read_sam_med3d
from sammix_core.refinement.msam.crops import LARGEST_HU
from sammix_core.refinement.msam.network import MSam
from sammix_core.refinement.msam.stages import dice, stage_loss, stages
from sammix_core.sam import lora
from sammix_core.training.context import OnStep, TrainingContext
from sammix_core.training.loop import Learning, LoopSettings, train_steps
from sammix_core.training.msam.cases import CubeSettings, RasCase, draw_cubes, load_ras_case
from sammix_core.training.msam.config import LORA, METHOD, MSamConfig
from sammix_core.training.output import check_free, model_card, new_manifest

_CHECKPOINT_EVERY = 25
_MAX_GRADIENT_NORM = 1.0
_DROP = 0.1
_CLICK_SEED = 7_919
_NO_BASE = {"name": "none", "sha256": "0" * 64}


def build(config: MSamConfig) -> MSam:
    """The network as training begins with it: seeded, base weights in it, and only what is trained wants gradients.

    Raises:
        InputError: The base weights cannot be used.
    """
    torch.manual_seed(config.seed)
    network = MSam(config.spec)
    if config.base_weights is not None:
        load_sam_med3d(network.sam, read_sam_med3d(config.base_weights))
    if config.training.encoder == LORA:
        train_with_lora(network, config.training.rank)
    return network


def train_msam(
    config: MSamConfig,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
    on_step: OnStep | None = None,
) -> ModelFolder:
    """Trains the model that a configuration describes and writes its folder.

    Args:
        config: What to train.
        progress: Called after each step.
        cancel: Polled after each step; return True to stop.
        on_step: Called after each step with its loss.

    Returns:
        The model's folder. Its manifest's metrics have the Dice of each training case after each stage.

    Raises:
        InputError: A case or the base weights cannot be used, or that version is there already.
        Cancelled: The user stopped; the next call resumes.
    """
    spec = check_free(_manifest(config, {}), config.output)
    cases = [load_ras_case(case, config.training.values) for case in config.cases]
    device = choose_device(config.training.device)
    context = TrainingContext(
        label="M-SAM",
        checkpoint=_checkpoint(config),
        seed=config.seed,
        runtime=Fabric(accelerator=device.type, devices=1, precision=config.precision),
        progress=progress,
        cancel=cancel,
        on_step=on_step,
    )
    network = _trained(config, cases, device, context)
    metrics = {"training_dice_by_stage": dice_by_stage(network, cases, config)}
    state, more = _split_state(network, config)
    return write_model(config.output, _manifest(config, metrics), state, model_card(config.folder, spec), more=more)


def _trained(config: MSamConfig, cases: Sequence[RasCase], device: torch.device, context: TrainingContext) -> MSam:
    """The averaged network, in eval mode."""
    settings = config.training
    network = build(config).to(device)
    optimiser = torch.optim.AdamW(_groups(network, config), weight_decay=settings.weight_decay)
    drops = [round(share * settings.steps) for share in (settings.first_drop, settings.second_drop)]
    learning = Learning(optimiser, torch.optim.lr_scheduler.MultiStepLR(optimiser, drops, _DROP))
    cubes = CubeSettings(config.spec.crop, settings.flips, settings.shift)

    def make_batch(step: int) -> tuple[torch.Tensor, ...]:
        rng = np.random.default_rng([config.seed, step])
        images, targets = draw_cubes(cases, settings.batch, cubes, rng)
        return images.to(device), targets.to(device), torch.tensor(step)

    def loss_of(images: torch.Tensor, targets: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        rng = np.random.default_rng([config.seed, int(step), _CLICK_SEED])
        count = 1 + settings.refining_stages
        with context.runtime.autocast():
            logits_by_stage = list(stages(network, images, targets, count, rng))
        return torch.stack([stage_loss(logits.float(), targets) for logits in logits_by_stage]).sum()

    loop = LoopSettings(settings.steps, drops[1], _MAX_GRADIENT_NORM, _CHECKPOINT_EVERY)
    average: MSam = train_steps(network, learning, make_batch, loss_of, loop, context)
    return average.eval()


def _groups(network: MSam, config: MSamConfig) -> list[dict[str, Any]]:
    """Encoder (LoRA, where it is frozen) and adapter learn fast, prompt encoder and decoder slowly."""
    fast: list[nn.Module] = [network.sam.image_encoder, network.adapter]
    slow: list[nn.Module] = [network.sam.prompt_encoder, network.sam.mask_decoder]
    rates = (config.training.learning_rate, config.training.decoder_rate)
    return [
        {"params": [p for module in modules for p in module.parameters() if p.requires_grad], "lr": rate}
        for modules, rate in zip((fast, slow), rates, strict=True)
    ]


def _checkpoint(config: MSamConfig) -> Path:
    """Its name changes with what is trained, on what and how; where it is computed does not matter."""
    how = {key: value for key, value in asdict(config.training).items() if key not in ("device", "base_weights")}
    base = None if config.base_weights is None else sha256_of(config.base_weights)
    cases = [
        (case.name, case.ct.name, "" if case.labels is None else case.labels.name, case.values) for case in config.cases
    ]
    key = key_of([config.seed, config.precision, how, config.spec.to_dict(), base, cases])
    return config.work / "checkpoints" / f"msam-{config.name}-{key}.pt"


@torch.inference_mode()
def dice_by_stage(network: MSam, cases: Sequence[RasCase], config: MSamConfig) -> dict[str, list[float]]:
    """Dice of the first cube of each case after each stage, clicks drawn from the errors."""
    device = next(network.parameters()).device
    result = {}
    for case in cases:
        first = replace(case, centres=case.centres[:1])
        cube = CubeSettings(config.spec.crop)
        images, target = draw_cubes([first], 1, cube, np.random.default_rng(config.seed))
        rng = np.random.default_rng([config.seed, _CLICK_SEED])
        target = target.to(device)
        after = stages(network, images.to(device), target, 1 + config.training.refining_stages, rng)
        result[case.name] = [round(dice(logits, target), 4) for logits in after]
    return result


def _split_state(
    network: MSam, config: MSamConfig
) -> tuple[dict[str, torch.Tensor], dict[str, dict[str, torch.Tensor]]]:
    """What a model's files hold: everything, or what was trained on top of the base weights."""
    if config.training.encoder != LORA:
        return network.state_dict(), {}
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("sam.image_encoder.")}
    return state, {lora.WEIGHTS_FILE: lora.lora_state(network.sam.image_encoder)}


def _manifest(config: MSamConfig, metrics: dict[str, Any]) -> Manifest:
    settings = config.training
    on_base = settings.encoder == LORA and config.base_weights is not None
    return new_manifest(
        config,
        base_model={"name": SAM_MED3D, "sha256": sha256_of(config.base_weights)}
        if on_base and config.base_weights is not None
        else _NO_BASE,
        preprocessing={"values": settings.values, "largest": LARGEST_HU},
        guidance={"name": METHOD, "network": config.spec.to_dict(), "refining_stages": settings.refining_stages},
        postprocessing={},
        metrics=metrics,
    )
