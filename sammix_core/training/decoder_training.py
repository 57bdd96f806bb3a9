"""Trains prompt encoder and mask decoder gently, on the boxes and mask prompts that the guidance really makes.

The three masks start as copies of LiteMedSAM's single one (`three_from_single`), and each leans another way by its
Tversky loss: even, cautious (few false positives) and generous (few false negatives). Their disagreement is the
uncertainty, and the score that each predicts of itself, its IoU with the label, chooses among them. See
docs/decisions/three-masks.md.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sammix_core.boxes.network_box import NetworkBox, tight_box
from sammix_core.boxes.parts import SAME_PLACE, box_iou, enclosing_box
from sammix_core.guidance.base import Guidance
from sammix_core.guidance.boxes_from_cam import BoxSettings, boxes_from_cam
from sammix_core.sam.decoding import MaskSettings, dense_prompt
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.sam.litemedsam_network import decode_with
from sammix_core.training.context import TrainingContext
from sammix_core.training.loop import LoopSettings, one_cycle, train_steps
from sammix_core.training.losses import tversky_loss
from sammix_core.training.settings import DecoderTraining
from sammix_core.training.views import View, ViewSamples, one_component

# (weight of false positives, weight of false negatives) of m1, m2, m3
LEANINGS = ((0.5, 0.5), (0.65, 0.35), (0.35, 0.65))
_CHECKPOINT_EVERY = 40
_MAX_GRADIENT_NORM = 1.0
_LEAST_PART_PIXELS = 12  # smaller ones are specks of a label


def decoder_loss(
    logits: torch.Tensor, scores: torch.Tensor, shares: torch.Tensor, region_weight: float = 1.0
) -> torch.Tensor:
    """Loss of the three masks and their scores.

    Args:
        logits: (n, 3, h, w).
        scores: (n, 3) predicted IoU.
        shares: (n, 1, h, w) label share in [0, 1].
        region_weight: Of the Tversky loss (for the even mask, soft Dice) beside cross-entropy.
    """
    loss = logits.new_zeros(())
    for index, (false_positive, false_negative) in enumerate(LEANINGS):
        mask = logits[:, index : index + 1]
        region = tversky_loss(mask, shares, false_positive, false_negative)
        loss = loss + region_weight * region + functional.binary_cross_entropy_with_logits(mask, shares)
    with torch.no_grad():
        predicted, label = logits > 0, shares > 0.5
        union = (predicted | label).sum((2, 3)).clamp(min=1)
        iou = (predicted & label).sum((2, 3)) / union
    return loss / len(LEANINGS) + functional.mse_loss(scores, iou)


def jittered(box: NetworkBox, size: int, rng: np.random.Generator) -> np.ndarray:
    """Moves each edge of a box a little: (4,) XYXY edges within the image."""
    sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    moved = np.array(box) + np.clip(rng.normal(0, 0.02, 4), -0.06, 0.06) * sides + rng.uniform(-1, 1.5, 4)
    return np.clip(moved, 0, size)


class PromptMaker:
    """Boxes and mask prompts for training slices, from heads that have not seen the slice's patient."""

    def __init__(self, guidance: Mapping[str, Guidance], boxes: BoxSettings, masks: MaskSettings) -> None:
        self._guidance = guidance
        self._boxes = boxes
        self._masks = masks

    def prompts(
        self,
        patients: Sequence[str],
        embeddings: torch.Tensor,
        shares: torch.Tensor,
        rng: np.random.Generator,
        images: torch.Tensor | None = None,
        one_part: Sequence[bool] = (),
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Makes the prompts of a batch.

        The box is the guidance's in three of four slices and the label's otherwise, each moved a little; the guidance's
        is taken only where it found something, and for one part only where it found that part by itself.

        Args:
            patients: Whose slices they are.
            embeddings: (n, c, h, w), frozen.
            shares: (n, 1, size, size) label share in [0, 1].
            rng: Random source.
            images: (n, 1, size, size), for a guidance that needs them.
            one_part: (n,) whether the share is that of one part of several; by default none is.

        Returns:
            Boxes (n, 4) XYXY edges, mask prompts (n, 1, 256, 256), and (n,) bool: whether the slice is of use.
        """
        size = shares.shape[-1]
        boxes, logits, useful = [], [], []
        pixels = embeddings if images is None else images
        alone = one_part or [False] * len(shares)
        for patient, image, embedding, share, part in zip(patients, pixels, embeddings, shares, alone, strict=True):
            maps = self._guidance[patient].maps(image[None], embedding[None])
            found = boxes_from_cam(maps, 1.0, size, self._boxes).boxes[0]
            label = tight_box(share[0].numpy() > 0.5)
            guided = _box_of_part(found, label) if part else enclosing_box(found)
            box = guided if guided is not None and rng.random() < 0.75 else label
            useful.append(label is not None)
            boxes.append(jittered(box or (0.0, 0.0, float(size), float(size)), size, rng))
            logits.append(maps.cam_logits)
        prompt = dense_prompt(np.concatenate(logits), size, self._masks)
        return torch.from_numpy(np.stack(boxes)).float(), prompt, torch.tensor(useful)


def train_decoder(
    backend: LiteMedSam,
    views: Sequence[View],
    prompts: PromptMaker,
    settings: DecoderTraining,
    context: TrainingContext,
) -> dict[str, torch.Tensor]:
    """Trains prompt encoder and mask decoder, resuming from the checkpoint to the same result.

    Args:
        backend: LiteMedSAM with its base weights; its network is not changed.
        views: What to train on.
        prompts: Makes boxes and mask prompts.
        settings: Steps, batch, rates.
        context: Checkpoint, seed, precision, progress.

    Returns:
        Averaged tensors named as in LiteMedSAM, of prompt encoder and mask decoder.

    Raises:
        Cancelled: The user stopped; the next call resumes.
    """
    seed = context.seed
    decoder = PromptedDecoder(backend.network)
    learning = one_cycle([(decoder.parameters(), settings.learning_rate)], settings.weight_decay, settings.steps)
    samples = ViewSamples(views, np.random.default_rng(seed))
    draws = samples.draws(settings.steps, settings.batch, positive_share=1.0)

    def make_batch(step: int) -> tuple[torch.Tensor, ...]:
        pairs = draws[step]
        rng = np.random.default_rng([seed, step])
        embeddings, shares = samples.embeddings(pairs), samples.shares(pairs)
        one_part: list[bool] = []
        if settings.part_share:
            shares, one_part = narrow_to_parts(shares, settings.part_share, rng)
        boxes, prompt, useful = prompts.prompts(samples.patients(pairs), embeddings, shares, rng, one_part=one_part)
        if rng.random() < 0.1:
            prompt = torch.zeros_like(prompt)  # the decoder must not lean on the map alone
        noise = 0.03 * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(seed * 7919 + step))
        return (embeddings + noise)[useful], boxes[useful], prompt[useful], shares[useful]

    def loss_of(
        embeddings: torch.Tensor, boxes: torch.Tensor, prompt: torch.Tensor, shares: torch.Tensor
    ) -> torch.Tensor:
        with context.runtime.autocast():
            logits, scores = decoder(embeddings, boxes, prompt)
        return decoder_loss(logits.float(), scores.float(), shares)

    loop = LoopSettings(settings.steps, settings.steps // 3, _MAX_GRADIENT_NORM, _CHECKPOINT_EVERY)
    average: PromptedDecoder = train_steps(decoder, learning, make_batch, loss_of, loop, context)
    # Parameters alone: the position encoding is a fixed buffer of the base model, and half precision would blur it.
    return {name: tensor.detach() for name, tensor in average.named_parameters()}


def narrow_to_parts(
    shares: torch.Tensor, part_share: float, rng: np.random.Generator
) -> tuple[torch.Tensor, list[bool]]:
    """Narrows some slices of several parts to one of them, as inference decodes them.

    Args:
        shares: (n, 1, h, w).
        part_share: Share of slices that are narrowed.
        rng: Random source.

    Returns:
        The shares, and of each slice whether it is one part of several now.
    """
    narrowed = [one_component(share, _LEAST_PART_PIXELS, rng) for share in shares]
    several = [not torch.equal(part > 0.5, share > 0.5) for part, share in zip(narrowed, shares, strict=True)]
    taken = [
        is_part and bool(part.any()) and rng.random() < part_share
        for part, is_part in zip(narrowed, several, strict=True)
    ]
    chosen = [part if take else share for part, share, take in zip(narrowed, shares, taken, strict=True)]
    return torch.stack(chosen), taken


def _box_of_part(found: Sequence[NetworkBox], label: NetworkBox | None) -> NetworkBox | None:
    """The guidance's box in the place of a part's own; None where it has none there."""
    if label is None or not found:
        return None
    best = max(found, key=lambda box: box_iou(box, label))
    return best if box_iou(best, label) >= SAME_PLACE else None


class PromptedDecoder(nn.Module):
    """A trainable copy of LiteMedSAM's prompt encoder and mask decoder."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.prompt_encoder: Any = copy.deepcopy(network.prompt_encoder).requires_grad_(True)
        self.mask_decoder: Any = copy.deepcopy(network.mask_decoder).requires_grad_(True)

    def forward(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, prompt: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decodes as `LiteMedSam.decode` does."""
        return decode_with(self.prompt_encoder, self.mask_decoder, embeddings, boxes, prompt)
