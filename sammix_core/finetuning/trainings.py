"""The trainings of a run: head, decoder, and LoRA where it is asked for. Each resumes from its checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.candidate import Weights, with_modules
from sammix_core.finetuning.gather import Sample
from sammix_core.finetuning.recipe import Recipe
from sammix_core.finetuning.reporter import Reporter
from sammix_core.guidance.base import Guidance
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.progress import Progress
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.decoder_training import PromptedDecoder, PromptMaker, train_decoder
from sammix_core.training.head_training import train_head
from sammix_core.training.lora_training import Adapted, train_lora
from sammix_core.training.paper_sections import LoraTraining
from sammix_core.training.views import View

_MOST_FOLDS = 3
# (part, step, model as it is now): draws a point of the live curve
Curve = Callable[[str, int, LoadedModel], None]


class Trainings:
    """Trains the parts of one run.

    Args:
        parent: The model to begin with.
        weights: Its weights.
        recipe: How.
        seed: Of everything random.
        folder: Where checkpoints lie.
        key: Changes with what is learnt from, so that a changed set begins anew.
        reporter: Told of each step, asked whether to stop.
        curve: Draws points of the live curve.
    """

    def __init__(
        self,
        parent: LoadedModel,
        weights: Weights,
        recipe: Recipe,
        seed: int,
        folder: Path,
        key: str,
        reporter: Reporter,
        curve: Curve,
    ) -> None:
        self._parent = parent
        self._weights = weights
        self._recipe = recipe
        self._seed = seed
        self._folder = folder
        self._key = key
        self._reporter = reporter
        self._curve = curve
        # Single precision everywhere: half of it is slower on processors that only imitate it.
        self._fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")

    def head(self, views: Sequence[View], start: EmbeddingHead | None, label: str = "head") -> EmbeddingHead:
        """Trains the guidance head.

        Args:
            views: What to learn from.
            start: The parent's head, or None for a new structure.
            label: Names the checkpoint and the stage.
        """

        def point(step: int, module: nn.Module) -> None:
            assert isinstance(module, EmbeddingHead)
            decoder = _decoder(self._parent, self._weights.decoder)
            self._curve("head", step, with_modules(self._parent, module, decoder))

        settings = self._recipe.head
        drawn = point if label == "head" else None
        stage, told = self._told("head", label, settings.steps, drawn)
        checkpoint = self._checkpoint(label, asdict(settings))
        return train_head(
            views, settings, self._seed, self._fabric, checkpoint, stage, told.stage, self._reporter.asked, start, told
        )

    def decoder(
        self,
        views: Sequence[View],
        guidance: Mapping[str, Guidance],
        boxes: BoxSettings,
        head: EmbeddingHead,
    ) -> dict[str, torch.Tensor]:
        """Trains prompt encoder and mask decoder on what a guidance that has not seen the slices makes of them.

        Args:
            views: What to learn from; those without the structure have no mask to learn.
            guidance: By the views' case.
            boxes: How boxes are made of maps.
            head: The head that the decoder will be used with, for the live curve.
        """
        backend = self._parent.backend
        assert isinstance(backend, LiteMedSam)

        def point(step: int, module: nn.Module) -> None:
            assert isinstance(module, PromptedDecoder)
            self._curve("decoder", step, with_modules(self._parent, head, module, boxes))

        settings = self._recipe.decoder
        stage, told = self._told("decoder", "decoder", settings.steps, point)
        prompts = PromptMaker(guidance, boxes, self._parent.masks)
        checkpoint = self._checkpoint("decoder", [asdict(settings), boxes.to_dict()])
        return train_decoder(
            *(backend, views, prompts, settings, self._seed, self._fabric, checkpoint),
            *(stage, told.stage, self._reporter.asked, told),
        )

    def lora(
        self,
        views: Sequence[View],
        images: Sequence[np.ndarray],
        guidance: Mapping[str, Guidance],
        boxes: BoxSettings,
        decoder: Mapping[str, torch.Tensor],
        head: EmbeddingHead,
        settings: LoraTraining,
    ) -> Adapted:
        """Trains LoRA on the image encoder, with head and decoder going along slowly.

        Args:
            views: What to learn from.
            images: Of each view, (n, size, size).
            guidance: By the views' case.
            boxes: How boxes are made of maps.
            decoder: To begin with.
            head: To begin with.
            settings: Steps, batch, rates, rank.
        """
        backend = self._parent.backend
        assert isinstance(backend, LiteMedSam)
        stage, told = self._told("lora", "lora", settings.steps, None)
        prompts = PromptMaker(guidance, boxes, self._parent.masks)
        checkpoint = self._checkpoint("lora", [asdict(settings), boxes.to_dict()])
        return train_lora(
            *(backend, views, images, prompts, decoder, head, settings, self._seed, self._fabric, checkpoint),
            *(stage, told.stage, self._reporter.asked, told),
        )

    def _checkpoint(self, label: str, settings: object) -> Path:
        text = json.dumps([self._key, self._seed, settings], sort_keys=True)
        return self._folder / f"{label.replace(' ', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.pt"

    def _told(
        self, part: str, label: str, steps: int, point: Callable[[int, nn.Module], None] | None
    ) -> tuple[str, _Told]:
        stage = stage_of(label)
        return stage, _Told(self._reporter, part, steps, point)


def stage_of(label: str) -> str:
    """The stage's name for people."""
    return f"Training the {label}" if label != "lora" else "Training LoRA"


class _Told:
    """Passes steps on with the time to go, which the loop tells apart."""

    def __init__(
        self, reporter: Reporter, part: str, steps: int, point: Callable[[int, nn.Module], None] | None
    ) -> None:
        self._reporter = reporter
        self._part = part
        self._steps = steps
        self._point = point
        self._left: float | None = None

    def stage(self, progress: Progress) -> None:
        """A `ProgressCallback`."""
        self._left = progress.seconds_left
        self._reporter.tell(progress)

    def __call__(self, step: int, loss: float, average: nn.Module) -> None:
        """An `OnStep`."""
        self._reporter.tell_step(self._part, step, self._steps, loss, self._left)
        if self._point is not None and step % max(1, self._steps // recipes.CURVE_POINTS) == 0:
            self._point(step, average)


def _decoder(parent: LoadedModel, state: Mapping[str, torch.Tensor]) -> PromptedDecoder:
    assert isinstance(parent.backend, LiteMedSam)
    decoder = PromptedDecoder(parent.backend.network)
    decoder.load_state_dict(dict(state), strict=False)
    return decoder


def groups_of(learnt: Sequence[Sample], new_structure: bool) -> dict[int, str]:
    """What training takes for one patient, by each slice's `id`: its case; for a new structure, its fold.

    A new structure has no head yet that could prompt the decoder, so heads are trained that have not seen some of the
    slices: without whole cases where several show the structure, else without either half along the body.

    Args:
        learnt: The slices, by case and then along the body.
        new_structure: Whether the parent does not know the structure.
    """
    if not new_structure:
        return {id(sample): sample.case for sample in learnt}
    cases = sorted({sample.case for sample in learnt if sample.positive})
    if len(cases) > 1:
        group_of = {case: f"group {number % _MOST_FOLDS}" for number, case in enumerate(cases)}
        return {id(sample): group_of.get(sample.case, "group 0") for sample in learnt}
    places = [place for place, sample in enumerate(learnt) if sample.positive]
    half = places[len(places) // 2] if len(places) > 1 else len(learnt)
    return {id(sample): f"group {int(place >= half)}" for place, sample in enumerate(learnt)}


def out_of_fold_guidance(
    trainings: Trainings, views: Sequence[View], head: EmbeddingHead, model: LoadedModel
) -> dict[str, EmbeddingCam]:
    """For each group of views a head that was trained without it; the whole one's where there is but one group."""
    groups = sorted({view.case for view in views})
    if len(groups) < 2:
        return {group: EmbeddingCam(_copied(head), model.device) for group in groups}
    found: dict[str, EmbeddingCam] = {}
    for group in groups:
        others = [view for view in views if view.case != group]
        found[group] = EmbeddingCam(trainings.head(others, None, f"head without {group}"), model.device)
    return found


def scaled_boxes(start: BoxSettings, views: Sequence[View]) -> BoxSettings:
    """Box settings whose least support suits a structure that may be much smaller than a liver."""
    cells = [float(share.sum()) / 255 / 16 for view in views for share in view.shares if share.any()]
    return replace(start, least_support=round(min(start.least_support, float(np.median(cells))), 1))


def _copied(head: EmbeddingHead) -> EmbeddingHead:
    copied = EmbeddingHead()
    copied.load_state_dict(head.state_dict())
    return copied
