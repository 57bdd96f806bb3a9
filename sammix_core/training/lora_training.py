"""Trains LoRA on the image encoder, through the encoder, on boxes and mask prompts that the guidance really makes.

Prompt encoder, mask decoder and guidance head, trained before on the frozen encoder's embeddings, go along slowly: LoRA
changes the embeddings that they know. The prompts come from guidances that have not seen the slice's patient.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.training.context import TrainingContext
from sammix_core.training.decoder_training import PromptedDecoder, PromptMaker, decoder_loss
from sammix_core.training.head_training import head_loss
from sammix_core.training.loop import LoopSettings, one_cycle, train_steps
from sammix_core.training.settings import LoraTraining
from sammix_core.training.views import View, ViewSamples

_CHECKPOINT_EVERY = 20
_MAX_GRADIENT_NORM = 1.0
_SLOWER = 0.25


@dataclass(frozen=True)
class DecoderAndHead:
    """The parts of a model that go along with LoRA.

    Attributes:
        decoder: Tensors of prompt encoder and mask decoder, named as in LiteMedSAM.
        head: The guidance head.
    """

    decoder: Mapping[str, torch.Tensor]
    head: EmbeddingHead


@dataclass(frozen=True)
class LoraResult:
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

    def __init__(self, network: Any, start: DecoderAndHead, rank: int) -> None:
        super().__init__()
        self.encoder: Any = copy.deepcopy(network.image_encoder).eval()
        lora.inject(self.encoder, rank)
        self.decoder = PromptedDecoder(network)
        self.decoder.load_state_dict(dict(start.decoder), strict=False)  # buffers are those of the base model
        self.head = copy.deepcopy(start.head).requires_grad_(True)


def train_lora(
    backend: LiteMedSam,
    views: Sequence[View],
    images: Sequence[np.ndarray],
    prompts: PromptMaker,
    start: DecoderAndHead,
    settings: LoraTraining,
    context: TrainingContext,
) -> LoraResult:
    """Trains LoRA, resuming from the checkpoint to the same result.

    Args:
        backend: LiteMedSAM with its base weights; its network is not changed.
        views: What to train on.
        images: For each view (n, size, size) in [0, 1].
        prompts: Makes boxes and mask prompts.
        start: Trained decoder and head to begin with; they are not changed.
        settings: Steps, batch, rates, rank.
        context: Checkpoint, seed, precision, progress.

    Raises:
        InputError: The package that injects LoRA is not installed.
        Cancelled: The user stopped; the next call resumes.
    """
    torch.manual_seed(context.seed)
    network = _Network(backend.network, start, settings.rank)
    adapter = list(lora.lora_parameters(network.encoder).values())
    others = [*network.decoder.parameters(), *network.head.parameters()]
    rated = [(adapter, settings.learning_rate), (others, settings.learning_rate * _SLOWER)]
    learning = one_cycle(rated, settings.weight_decay, settings.steps)
    samples = ViewSamples(views, np.random.default_rng(context.seed))
    draws = samples.draws(settings.steps, settings.batch)

    def make_batch(step: int) -> tuple[torch.Tensor, ...]:
        pairs = draws[step]
        pixels = torch.from_numpy(np.stack([images[v][i] for v, i in pairs]).astype(np.float32))[:, None]
        frozen, shares = samples.embeddings(pairs), samples.shares(pairs)
        rng = np.random.default_rng([context.seed, step])
        return pixels, shares, *prompts.prompts(samples.patients(pairs), frozen, shares, rng, pixels)

    def loss_of(
        pixels: torch.Tensor, shares: torch.Tensor, boxes: torch.Tensor, prompt: torch.Tensor, useful: torch.Tensor
    ) -> torch.Tensor:
        with context.runtime.autocast():
            embeddings = network.encoder(pixels.expand(-1, 3, -1, -1))
            map_logits, slice_logits = network.head(embeddings)
        cells = functional.avg_pool2d(shares, 4)
        loss = settings.head_weight * head_loss(map_logits.float(), slice_logits.float(), cells)
        if useful.any():  # slices without the structure have no mask to learn
            with context.runtime.autocast():
                logits, scores = network.decoder(embeddings[useful], boxes[useful], prompt[useful])
            loss = loss + decoder_loss(logits.float(), scores.float(), shares[useful])
        return loss

    loop = LoopSettings(settings.steps, settings.steps // 3, _MAX_GRADIENT_NORM, _CHECKPOINT_EVERY)
    average: _Network = train_steps(network, learning, make_batch, loss_of, loop, context)
    decoder = {name: parameter.detach() for name, parameter in average.decoder.named_parameters()}
    return LoraResult(lora.lora_state(average.encoder), decoder, average.head.eval())
