"""Trains LoRA on the image encoder, through the encoder, on boxes and mask prompts that the guidance really makes.

Prompt encoder, mask decoder and guidance head, trained before on the frozen encoder's embeddings, go along slowly: LoRA
changes the embeddings that they know. The prompts come from guidances that have not seen the slice's patient.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn
from torch.nn import functional

from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.training.checkpoint import TrainedPart
from sammix_core.training.decoder_training import PromptedDecoder, PromptMaker, decoder_loss
from sammix_core.training.head_training import Samples, head_loss
from sammix_core.training.loop import OnStep, Pace, train_steps
from sammix_core.training.one_cycle import one_cycle
from sammix_core.training.paper_sections import LoraTraining
from sammix_core.training.views import View

_CHECKPOINT_STEPS = 20
_SLOWER = 0.25


@dataclass(frozen=True)
class Adapted:
    """What the training gives.

    Attributes:
        adapter: LoRA's matrices, as `sam.lora` saves them.
        decoder: Tensors of prompt encoder and mask decoder, named as in LiteMedSAM.
        head: The guidance head for the changed embeddings, on the CPU, in eval mode.
    """

    adapter: dict[str, torch.Tensor]
    decoder: dict[str, torch.Tensor]
    head: EmbeddingHead


class _Network(nn.Module):
    """Encoder with LoRA, decoder and head; the encoder stays in eval mode, so that its batch norms stay as they are."""

    def __init__(self, network: Any, decoder: Mapping[str, torch.Tensor], head: EmbeddingHead, rank: int) -> None:
        super().__init__()
        self.encoder: Any = copy.deepcopy(network.image_encoder).eval()
        lora.inject(self.encoder, rank)
        self.decoder = PromptedDecoder(network)
        self.decoder.load_state_dict(dict(decoder), strict=False)  # buffers are those of the base model
        self.head = copy.deepcopy(head).requires_grad_(True)


def train_lora(
    backend: LiteMedSam,
    views: Sequence[View],
    images: Sequence[np.ndarray],
    prompts: PromptMaker,
    decoder: Mapping[str, torch.Tensor],
    head: EmbeddingHead,
    settings: LoraTraining,
    seed: int,
    fabric: Fabric,
    checkpoint: Path,
    label: str,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
    on_step: OnStep | None = None,
) -> Adapted:
    """Trains LoRA, resuming from the checkpoint to the same result.

    Args:
        backend: LiteMedSAM with its base weights; its network is not changed.
        views: What to train on.
        images: For each view (n, size, size) in [0, 1].
        prompts: Makes boxes and mask prompts.
        decoder: Trained prompt encoder and mask decoder to begin with, named as in LiteMedSAM.
        head: Trained guidance head to begin with.
        settings: Steps, batch, rates, rank.
        seed: Of matrices, draws and jitter.
        fabric: Its precision is used.
        checkpoint: File that holds the state now and then, when it is stopped, and at the end.
        label: Name of the stage for progress.
        progress: Told after each step.
        cancel: Asked after each step.
        on_step: Told of each step.
    """
    torch.manual_seed(seed)
    network = _Network(backend.network, decoder, head, settings.rank)
    average = copy.deepcopy(network)
    adapter = list(lora.lora_parameters(network.encoder).values())
    others = [*network.decoder.parameters(), *network.head.parameters()]
    rated = [(adapter, settings.learning_rate), (others, settings.learning_rate * _SLOWER)]
    learning = one_cycle(rated, settings.weight_decay, settings.steps)
    parts = {"trained": TrainedPart(network), "average": TrainedPart(average), **learning}
    samples = Samples(views, np.random.default_rng(seed))
    draws = [samples.draw(settings.batch) for _ in range(settings.steps)]

    def batch(step: int) -> tuple[torch.Tensor, ...]:
        pairs = draws[step]
        pictures = torch.from_numpy(np.stack([images[v][i] for v, i in pairs]).astype(np.float32))[:, None]
        frozen, shares = samples.embeddings(pairs), samples.shares(pairs)
        rng = np.random.default_rng([seed, step])
        return pictures, shares, *prompts.prompts([views[v].case for v, _ in pairs], frozen, shares, rng, pictures)

    def loss_of(
        pictures: torch.Tensor, shares: torch.Tensor, boxes: torch.Tensor, prompt: torch.Tensor, useful: torch.Tensor
    ) -> torch.Tensor:
        with fabric.autocast():
            embeddings = network.encoder(pictures.expand(-1, 3, -1, -1))
            map_logits, slice_logits = network.head(embeddings)
        cells = functional.avg_pool2d(shares, 4)
        loss = settings.head_weight * head_loss(map_logits.float(), slice_logits.float(), cells)
        if useful.any():  # slices without the structure have no mask to learn
            with fabric.autocast():
                logits, scores = network.decoder(embeddings[useful], boxes[useful], prompt[useful])
            loss = loss + decoder_loss(logits.float(), scores.float(), shares[useful])
        return loss

    pace = Pace(settings.steps, settings.steps // 3, 1.0, _CHECKPOINT_STEPS)
    train_steps(network, average, parts, batch, loss_of, pace, fabric, checkpoint, label, progress, cancel, on_step)
    named = {name: parameter.detach() for name, parameter in average.decoder.named_parameters()}
    return Adapted(lora.lora_state(average.encoder), named, average.head.eval())
