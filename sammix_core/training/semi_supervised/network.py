"""Guidance, decoder and, where it learns, encoder as one module, whose output is the joint loss of a batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sammix_core.guidance.base import GuidanceMaps
from sammix_core.sam import lora
from sammix_core.sam.decoding import MaskSettings
from sammix_core.training.decoder_training import PromptedDecoder, decoder_loss
from sammix_core.training.head_training import map_loss
from sammix_core.training.semi_supervised.guides import Guide, make_guide
from sammix_core.training.semi_supervised.losses import (
    agreed,
    between_loss,
    class_loss,
    consistency_loss,
    multiple_instance_loss,
    pseudo_loss,
)
from sammix_core.training.semi_supervised.prompts import Prompts, PromptSettings, draw_prompts
from sammix_core.training.semi_supervised.settings import SamMixTraining

NO_FOLD = -1
Rng = np.random.Generator


class Batch(NamedTuple):
    """What a step is made of: n slices whose masks are known, those with the structure first, and m that are not.

    Attributes:
        images, embeddings, shares: (n, 1, size, size), (n, c, h, w) and (n, 1, size, size) in [0, 1].
        present: (n,) 1 or 0.
        weak_images, weak_embeddings, strong_images, strong_embeddings: The two views of the m others.
        unlabelled_present: (m,) 1, 0, or NaN where it is not known.
        kept: (n + m, c) bool, channels that the guidance sees.
        seed: (3,) int64 of what is drawn in the step: seed, step, process.
        folds: (n,) int64, the fold head that does not learn the slice's mask; `NO_FOLD` where all do.
        neighbours: (m, 2, c, h, w), the plain views of the slices below and above the m others, NaN where there is
            none; empty where they take no part.
        positions: (m, h, w, 2), where the others' views lie on the plain ones, see `Bank.positions`; likewise.
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
    folds: torch.Tensor
    neighbours: torch.Tensor
    positions: torch.Tensor

    def cut(self, most: int) -> Batch:
        """The first slices of either kind alone, for an encoder that learns."""
        count = len(self.images)
        kept = torch.cat([self.kept[: min(most, count)], self.kept[count : count + most]])
        parts = {name: part[:most] for name, part in zip(self._fields[:9], self[:9], strict=True)}
        return self._replace(**parts, kept=kept, folds=self.folds[:most])


class SamMix(nn.Module):
    """Everything that learns.

    Attributes:
        guide: The guidance.
        decoder: LiteMedSAM's prompt encoder and mask decoder.
        encoder: LiteMedSAM's image encoder with LoRA, or None where it is frozen and embeddings are kept.
        masks: How masks are prompted and chosen, in training and in use.
        fold_guides: Guidances that each lack a part of the slices with a mask; they make prompts in training alone.
    """

    def __init__(self, base: Any, settings: SamMixTraining) -> None:
        """Builds it round copies of LiteMedSAM's parts, its guidance untrained."""
        super().__init__()
        self.settings = settings
        self.masks = MaskSettings(mask_prompt=settings.mask_prompt)
        self.guide = make_guide(settings)
        self.fold_guides = nn.ModuleList(make_guide(settings) for _ in range(settings.fold_heads))
        self._average: tuple[SamMix, ...] = ()  # in a tuple, so that it is no part of this module
        self.decoder = PromptedDecoder(base).requires_grad_(settings.train_decoder)
        self.encoder: Any = None
        if settings.lora_rank:
            self.encoder = copy.deepcopy(base.image_encoder).eval()
            lora.inject(self.encoder, settings.lora_rank)
        self.frozen = sum(p.numel() for p in base.image_encoder.parameters()) if self.encoder is None else 0

    def follow(self, average: SamMix) -> None:
        """Names the average of this network, which makes the weak views' masks where it is to be the mean teacher."""
        self._average = (average,) if self.settings.mean_teacher else ()

    @property
    def _teacher(self) -> SamMix:
        return self._average[0] if self._average else self

    @property
    def _folds(self) -> Sequence[Guide]:
        return cast("Sequence[Guide]", list(self.fold_guides))

    def train(self, mode: bool = True) -> SamMix:
        """As usual, but the encoder's batch norms stay as they are."""
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        return self

    def trainable_share(self) -> tuple[int, int]:
        """Numbers that are trained, and all that a slice goes through in use, a frozen encoder's included."""
        used = [p for name, p in self.named_parameters() if not name.startswith("fold_guides.")]
        trained = sum(p.numel() for p in used if p.requires_grad)
        return trained, sum(p.numel() for p in used) + self.frozen

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
            shares = functional.avg_pool2d(batch.shares, 4)
            loss = loss + map_loss(logits[:count].float(), shares) + self._fold_losses(batch, labelled, shares)
            if settings.multiple_instance_weight:
                instances = multiple_instance_loss(logits[count:].float(), batch.unlabelled_present)
                loss = loss + settings.multiple_instance_weight * instances
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
            weak = self._teacher.embed(batch.weak_images, batch.weak_embeddings)
        both = self.embed(
            torch.cat([batch.images, batch.strong_images]), torch.cat([batch.embeddings, batch.strong_embeddings])
        )
        return both[: len(batch.images)], weak, both[len(batch.images) :]

    def _fold_losses(self, batch: Batch, labelled: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """What the fold heads learn: as the guidance, each without the masks of its part."""
        loss = labelled.new_zeros(())
        kept = batch.kept[: len(labelled)]
        for number, guide in enumerate(self._folds):
            seen = batch.folds != number
            if seen.any():
                logits, slice_logits = guide(batch.images[seen], labelled[seen].detach(), kept[seen])
                loss = loss + map_loss(logits.float(), shares[seen])
                loss = loss + class_loss(slice_logits.float(), batch.present[seen], guide.focal)
        return loss

    def _prompts(self, maps: GuidanceMaps, images: torch.Tensor, shares: torch.Tensor | None, rng: Rng) -> Prompts:
        drawn = draw_prompts(
            maps,
            None if shares is None else shares.float().cpu(),  # numpy knows no bfloat16
            images.shape[-1],
            PromptSettings(self.guide.boxes, self.masks, self.settings.guided_share, self.settings.decoded),
            rng,
        )
        return drawn.to(images.device)

    def _maps_of_labelled(self, images: torch.Tensor, embeddings: torch.Tensor, folds: torch.Tensor) -> GuidanceMaps:
        """What the guidance shows; with fold heads, of each slice the head that has not learnt its mask."""
        maps = self.maps(images, embeddings)
        for number, guide in enumerate(self._folds):
            mine = (folds == number).cpu()
            if mine.any():
                with torch.autocast(images.device.type, enabled=False):
                    own = guide.maps(images[mine].float(), embeddings[mine].detach().float())
                maps.cam_logits[mine.numpy()], maps.probabilities[mine.numpy()] = own.cam_logits, own.probabilities
        return maps

    def _segmentation(self, batch: Batch, labelled: torch.Tensor, rng: Rng) -> torch.Tensor:
        first = slice(self.settings.decoded)  # those with the structure come first, and each of them has a box
        maps = self._maps_of_labelled(batch.images[first], labelled[first], batch.folds[first])
        prompts = self._prompts(maps, batch.images[first], batch.shares[first], rng)
        if not len(prompts.indices):
            return labelled.new_zeros(())
        logits, scores = self.decoder(labelled[prompts.indices], prompts.boxes, prompts.mask)
        return decoder_loss(logits.float(), scores.float(), batch.shares[prompts.indices], self.settings.dice_weight)

    def _two_views(
        self, batch: Batch, weak: torch.Tensor, strong: torch.Tensor, strong_map: torch.Tensor | None, rng: Rng
    ) -> torch.Tensor:
        """What the decoder makes of the weak view teaches the strong view's mask and map."""
        settings, teacher = self.settings, self._teacher
        loss = strong.new_zeros(())
        if not settings.train_decoder and strong_map is None:
            return loss  # the paper's guidance learns nothing of masks
        shows = torch.nonzero(batch.unlabelled_present != 0)[:, 0]  # NaN, not known, is not 0 either
        if not len(shows):
            return loss
        neighbours = None
        if settings.looks_at_neighbours:
            neighbours = teacher.maps_of_neighbours(batch.neighbours[shows], batch.positions[shows])
            if settings.along_z_weight and strong_map is not None:
                follows = between_loss(strong_map[shows], neighbours, settings.confidence)
                loss = loss + settings.along_z_weight * follows
        maps = teacher.maps(batch.weak_images[shows], weak[shows])
        prompts = self._prompts(maps, batch.weak_images[shows], None, rng)
        places = shows[prompts.indices]
        if not len(places):
            return loss
        with torch.no_grad():
            weak_logits, scores = teacher.decoder(weak[places], prompts.boxes, prompts.mask)
            best = scores.argmax(1)
            taught = weak_logits.float()[torch.arange(len(places)), best][:, None]
        counted = None
        if settings.agreement and neighbours is not None:
            chosen = prompts.indices
            own = torch.from_numpy(maps.cam_logits)[:, None].to(taught)[chosen]
            counted = agreed(taught, prompts.boxes, enlarged(own, taught), enlarged(neighbours[chosen], taught))
        if settings.train_decoder:
            logits, _ = self.decoder(strong[places], prompts.boxes, prompts.mask)
            mine = logits.float()[torch.arange(len(places)), best][:, None]
            loss = loss + settings.segmentation_weight * self._agreement(taught, mine, counted)
        if strong_map is not None:
            everywhere = None if counted is None else functional.avg_pool2d(counted.float(), 4) == 1
            loss = loss + self._agreement(functional.avg_pool2d(taught, 4), strong_map[places], everywhere)
        return loss

    @torch.no_grad()
    def maps_of_neighbours(self, neighbours: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The neighbouring slices' maps where a view shows them.

        Args:
            neighbours: (m, 2, c, h, w), see `Batch.neighbours`.
            positions: (m, h, w, 2).

        Returns:
            (m, 2, h, w) logits, NaN where there is no neighbour.
        """
        flat = neighbours.flatten(0, 1)
        there = ~torch.isnan(flat[:, 0, 0, 0])
        logits = flat.new_full((len(flat), 1, *flat.shape[-2:]), torch.nan)
        if there.any():
            no_images = flat.new_empty(int(there.sum()), 0)  # the embedding CAM looks at none
            logits[there] = torch.from_numpy(self.maps(no_images, flat[there]).cam_logits)[:, None].to(flat)
        moved = functional.grid_sample(
            logits, positions.repeat_interleave(2, 0), padding_mode="border", align_corners=False
        )
        return moved.view(len(neighbours), 2, *flat.shape[-2:])

    def _agreement(self, weak: torch.Tensor, strong: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
        settings = self.settings
        if settings.mean_teacher:
            each = consistency_loss(weak, strong, counted)
            return (settings.pseudo_weight + settings.consistency_weight) * each
        pseudo = settings.pseudo_weight * pseudo_loss(weak, strong, settings.confidence, counted)
        return pseudo + settings.consistency_weight * consistency_loss(weak, strong)

    def _nothing(self) -> torch.Tensor:
        """0 of every parameter: several processes wait for all gradients, of those with no part in a step too."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return next(self.parameters()).new_zeros(())
        return 0 * torch.stack([p.flatten()[0].float() for p in self.parameters() if p.requires_grad]).sum()


def enlarged(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Maps at the size of others, linearly."""
    return functional.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)
