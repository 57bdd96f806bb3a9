"""Guidance, decoder and, where it learns, encoder as one module, whose output is the joint loss of a batch."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sammix_core.guidance.base import GuidanceMaps
from sammix_core.sam import lora
from sammix_core.sam.decoding import MaskSettings
from sammix_core.training.decoder_training import PromptedDecoder, decoder_loss
from sammix_core.training.head_training import map_loss
from sammix_core.training.semi_supervised.guides import make_guide
from sammix_core.training.semi_supervised.losses import class_loss, consistency_loss, pseudo_loss
from sammix_core.training.semi_supervised.prompts import Prompts, PromptSettings, draw_prompts
from sammix_core.training.semi_supervised.settings import SamMixTraining


class Batch(NamedTuple):
    """What a step is made of: n slices whose masks are known, those with the structure first, and m that are not.

    Attributes:
        images, embeddings, shares: (n, 1, size, size), (n, c, h, w) and (n, 1, size, size) in [0, 1].
        present: (n,) 1 or 0.
        weak_images, weak_embeddings, strong_images, strong_embeddings: The two views of the m others.
        unlabelled_present: (m,) 1, 0, or NaN where it is not known.
        kept: (n + m, c) bool, channels that the guidance sees.
        seed: (3,) int64 of what is drawn in the step: seed, step, process.
    """

    images: torch.Tensor
    embeddings: torch.Tensor
    shares: torch.Tensor
    present: torch.Tensor
    weak_images: torch.Tensor
    weak_embeddings: torch.Tensor
    strong_images: torch.Tensor
    strong_embeddings: torch.Tensor
    unlabelled_present: torch.Tensor
    kept: torch.Tensor
    seed: torch.Tensor

    def cut(self, most: int) -> Batch:
        """The first slices of either kind alone, for an encoder that learns."""
        count = len(self.images)
        kept = torch.cat([self.kept[: min(most, count)], self.kept[count : count + most]])
        parts = {name: part[:most] for name, part in zip(self._fields[:9], self[:9], strict=True)}
        return self._replace(**parts, kept=kept)


class SamMix(nn.Module):
    """Everything that learns.

    Attributes:
        guide: The guidance.
        decoder: LiteMedSAM's prompt encoder and mask decoder.
        encoder: LiteMedSAM's image encoder with LoRA, or None where it is frozen and embeddings are kept.
        masks: How masks are prompted and chosen, in training and in use.
    """

    def __init__(self, base: Any, settings: SamMixTraining) -> None:
        """Builds it round copies of LiteMedSAM's parts, its guidance untrained."""
        super().__init__()
        self.settings = settings
        self.masks = MaskSettings(mask_prompt=settings.mask_prompt)
        self.guide = make_guide(settings)
        self.decoder = PromptedDecoder(base).requires_grad_(settings.train_decoder)
        self.encoder: Any = None
        if settings.lora_rank:
            self.encoder = copy.deepcopy(base.image_encoder).eval()
            lora.inject(self.encoder, settings.lora_rank)
        self.frozen = sum(p.numel() for p in base.image_encoder.parameters()) if self.encoder is None else 0

    def train(self, mode: bool = True) -> SamMix:
        """As usual, but the encoder's batch norms stay as they are."""
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        return self

    def trainable_share(self) -> tuple[int, int]:
        """Numbers that are trained, and all that a slice goes through, a frozen encoder's included."""
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return trained, sum(p.numel() for p in self.parameters()) + self.frozen

    def embed(self, images: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """The embeddings of images: by the encoder where it learns, else those that were kept."""
        return embeddings if self.encoder is None else self.encoder(images.expand(-1, 3, -1, -1))

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """What the guidance shows now, in full precision."""
        with torch.autocast(images.device.type, enabled=False):
            return self.guide.maps(images.float(), embeddings.detach().float())

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """The joint loss of a `Batch`: classification, and segmentation by masks, pseudo-labels and consistency."""
        batch = Batch(*tensors)
        settings = self.settings
        warm = int(batch.seed[1]) >= settings.warm_up
        if warm and self.encoder is not None:
            batch = batch.cut(settings.decoded)
        labelled, weak, strong = self._embeddings(batch, warm)
        count = len(batch.images)
        logits, slice_logits = self.guide(
            torch.cat([batch.images, batch.strong_images]), torch.cat([labelled, strong]), batch.kept
        )
        present = torch.cat([batch.present, batch.unlabelled_present])
        loss = class_loss(slice_logits.float(), present, self.guide.focal)
        if logits is not None:
            loss = loss + map_loss(logits[:count].float(), functional.avg_pool2d(batch.shares, 4))
        if warm:
            rng = np.random.default_rng([int(part) for part in batch.seed])
            if settings.train_decoder:
                loss = loss + settings.segmentation_weight * self._segmentation(batch, labelled, rng)
            strong_map = None if logits is None else logits[count:].float()
            loss = loss + self._two_views(batch, weak, strong, strong_map, rng)
        return loss + self._nothing()

    def _embeddings(self, batch: Batch, warm: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of the known slices and of the two views; LoRA changes nothing before it has learnt, so kept ones do."""
        if not warm:
            return batch.embeddings, batch.weak_embeddings, batch.strong_embeddings
        with torch.no_grad():
            weak = self.embed(batch.weak_images, batch.weak_embeddings)
        both = self.embed(
            torch.cat([batch.images, batch.strong_images]), torch.cat([batch.embeddings, batch.strong_embeddings])
        )
        return both[: len(batch.images)], weak, both[len(batch.images) :]

    def _prompts(
        self, images: torch.Tensor, embeddings: torch.Tensor, shares: torch.Tensor | None, rng: np.random.Generator
    ) -> Prompts:
        drawn = draw_prompts(
            self.maps(images, embeddings),
            None if shares is None else shares.float().cpu(),  # numpy knows no bfloat16
            images.shape[-1],
            PromptSettings(self.guide.boxes, self.masks, self.settings.guided_share, self.settings.decoded),
            rng,
        )
        return drawn.to(images.device)

    def _segmentation(self, batch: Batch, labelled: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        first = slice(self.settings.decoded)  # those with the structure come first, and each of them has a box
        prompts = self._prompts(batch.images[first], labelled[first], batch.shares[first], rng)
        if not len(prompts.indices):
            return labelled.new_zeros(())
        logits, scores = self.decoder(labelled[prompts.indices], prompts.boxes, prompts.mask)
        return decoder_loss(logits.float(), scores.float(), batch.shares[prompts.indices], self.settings.dice_weight)

    def _two_views(
        self,
        batch: Batch,
        weak: torch.Tensor,
        strong: torch.Tensor,
        strong_map: torch.Tensor | None,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """What the decoder makes of the weak view teaches the strong view's mask and map."""
        settings = self.settings
        nothing = strong.new_zeros(())
        if not settings.train_decoder and strong_map is None:
            return nothing  # the paper's guidance learns nothing of masks
        shows = torch.nonzero(batch.unlabelled_present != 0)[:, 0]  # NaN, not known, is not 0 either
        if not len(shows):
            return nothing
        prompts = self._prompts(batch.weak_images[shows], weak[shows], None, rng)
        places = shows[prompts.indices]
        if not len(places):
            return nothing
        with torch.no_grad():
            weak_logits, scores = self.decoder(weak[places], prompts.boxes, prompts.mask)
            best = scores.argmax(1)
            taught = weak_logits.float()[torch.arange(len(places)), best]
        loss = nothing
        if settings.train_decoder:
            logits, _ = self.decoder(strong[places], prompts.boxes, prompts.mask)
            mine = logits.float()[torch.arange(len(places)), best]
            loss = loss + settings.segmentation_weight * self._agreement(taught, mine)
        if strong_map is not None:
            cells = functional.avg_pool2d(taught[:, None], 4)
            loss = loss + self._agreement(cells, strong_map[places])
        return loss

    def _agreement(self, weak: torch.Tensor, strong: torch.Tensor) -> torch.Tensor:
        settings = self.settings
        pseudo = settings.pseudo_weight * pseudo_loss(weak, strong, settings.confidence)
        return pseudo + settings.consistency_weight * consistency_loss(weak, strong)

    def _nothing(self) -> torch.Tensor:
        """0 of every parameter: several processes wait for all gradients, of those with no part in a step too."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return next(self.parameters()).new_zeros(())
        return 0 * torch.stack([p.flatten()[0].float() for p in self.parameters() if p.requires_grad]).sum()
