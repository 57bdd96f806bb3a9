"""Trains the parts of a run, each resuming from its checkpoint: head, decoder, and LoRA where it is set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sammix_core.embeddings.view_store import key_of
from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.candidate import Weights, head_from, with_modules
from sammix_core.finetuning.pack import Pack
from sammix_core.finetuning.recipe import Recipe
from sammix_core.finetuning.reporter import Reporter
from sammix_core.finetuning.samples import Sample
from sammix_core.guidance.base import Guidance
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.progress import Progress
from sammix_core.sam.litemedsam import LiteMedSam, require_litemedsam
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.context import LocalRuntime, TrainingContext
from sammix_core.training.decoder_training import PromptedDecoder, PromptMaker, train_decoder
from sammix_core.training.head_training import train_head
from sammix_core.training.lora_training import DecoderAndHead, LoraResult, train_lora
from sammix_core.training.settings import LoraTraining
from sammix_core.training.views import View

_MAX_FOLDS = 3
# (part, step, model as it is now): draws a point of the live curve
Curve = Callable[[str, int, LoadedModel], None]


@dataclass(frozen=True)
class LearningMaterial:
    """What a part is trained on.

    Attributes:
        views: What is learnt from.
        images: Of each view, (n, size, size).
        guidance: By the views' case, a guidance that has not seen it.
        boxes: How boxes are made of maps.
    """

    views: list[View]
    images: list[np.ndarray]
    guidance: Mapping[str, Guidance]
    boxes: BoxSettings


@dataclass(frozen=True)
class Parent:
    """The model that a run begins with.

    Attributes:
        model: The model.
        weights: Its head and decoder.
    """

    model: LoadedModel
    weights: Weights

    @property
    def backend(self) -> LiteMedSam:
        """Its LiteMedSAM.

        Raises:
            InputError: It has another backend.
        """
        return require_litemedsam(self.model.backend)


class PartTrainer:
    """Trains the parts of one run.

    Args:
        parent: The model to begin with.
        recipe: Steps and rates.
        seed: Of everything random.
        folder: Where checkpoints lie.
        key: Changes with what is learnt from, so that a changed set begins again.
        reporter: Reports each step; polled whether to stop.
        curve: Draws points of the live curve.
    """

    def __init__(
        self,
        parent: Parent,
        recipe: Recipe,
        seed: int,
        folder: Path,
        key: str,
        reporter: Reporter,
        curve: Curve,
    ) -> None:
        self._parent = parent
        self._recipe = recipe
        self._seed = seed
        self._folder = folder
        self._key = key
        self._reporter = reporter
        self._curve = curve
        # Single precision everywhere: half of it is slower on processors that only imitate it.
        self._runtime = LocalRuntime()

    def head(self, views: Sequence[View], start: EmbeddingHead | None, label: str = "head") -> EmbeddingHead:
        """Trains the guidance head.

        Args:
            views: What to learn from.
            start: The parent's head, or None for a new structure.
            label: Names the checkpoint and the stage.
        """

        def draw_point(step: int, module: nn.Module) -> None:
            decoder = PromptedDecoder(self._parent.backend.network)
            decoder.load_state_dict(dict(self._parent.weights.decoder), strict=False)
            self._curve("head", step, with_modules(self._parent.model, module, decoder))

        settings = self._recipe.head
        reporting = _StepReporting(self._reporter, "head", settings.steps, draw_point if label == "head" else None)
        return train_head(views, settings, self._context(label, asdict(settings), reporting), start)

    def decoder(self, material: LearningMaterial, head: EmbeddingHead) -> dict[str, torch.Tensor]:
        """Trains prompt encoder and mask decoder on what a guidance that has not seen the slices makes of them.

        Args:
            material: What to learn from; slices without the structure have no mask to learn.
            head: The head that the decoder will be used with, for the live curve.
        """

        def draw_point(step: int, module: nn.Module) -> None:
            self._curve("decoder", step, with_modules(self._parent.model, head, module, material.boxes))

        settings = self._recipe.decoder
        reporting = _StepReporting(self._reporter, "decoder", settings.steps, draw_point)
        context = self._context("decoder", [asdict(settings), material.boxes.to_dict()], reporting)
        return train_decoder(self._parent.backend, material.views, self._prompts(material), settings, context)

    def lora(self, material: LearningMaterial, start: DecoderAndHead, settings: LoraTraining) -> LoraResult:
        """Trains LoRA on the image encoder; head and decoder go along slowly.

        Args:
            material: What to learn from.
            start: Decoder and head to begin with.
            settings: Steps, batch, rates, rank.
        """
        reporting = _StepReporting(self._reporter, "lora", settings.steps)
        context = self._context("lora", [asdict(settings), material.boxes.to_dict()], reporting)
        prompts = self._prompts(material)
        return train_lora(self._parent.backend, material.views, material.images, prompts, start, settings, context)

    def context(self, label: str, settings: object, steps: int) -> TrainingContext:
        """What a part that is trained elsewhere runs with.

        Args:
            label: Names the checkpoint and the stage.
            settings: JSON values; others begin again.
            steps: How many steps it has.
        """
        return self._context(label, settings, _StepReporting(self._reporter, label, steps))

    def _prompts(self, material: LearningMaterial) -> PromptMaker:
        return PromptMaker(material.guidance, material.boxes, self._parent.model.masks)

    def _context(self, label: str, settings: object, reporting: _StepReporting) -> TrainingContext:
        file = f"{label.replace(' ', '-')}-{key_of([self._key, self._seed, settings])}.pt"
        return TrainingContext(
            label=stage_of(label),
            checkpoint=self._folder / file,
            seed=self._seed,
            runtime=self._runtime,
            progress=reporting.progress,
            cancel=self._reporter.should_stop,
            on_step=reporting,
        )


def stage_of(label: str) -> str:
    """The stage's name for people."""
    return f"Training the {label}" if label != "lora" else "Training LoRA"


@dataclass
class _StepReporting:
    """Reports each step with the time left, which the loop reports apart."""

    reporter: Reporter
    part: str
    steps: int
    draw_point: Callable[[int, nn.Module], None] | None = None
    _seconds_left: float | None = field(default=None, init=False)

    def progress(self, progress: Progress) -> None:
        """A `ProgressCallback`."""
        self._seconds_left = progress.seconds_left
        self.reporter.report(progress)

    def __call__(self, step: int, loss: float, average: nn.Module) -> None:
        """An `OnStep`."""
        self.reporter.report_step(self.part, step, self.steps, loss, self._seconds_left)
        if self.draw_point is not None and step % max(1, self.steps // recipes.CURVE_POINTS) == 0:
            self.draw_point(step, average)


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
        group_of = {case: f"group {number % _MAX_FOLDS}" for number, case in enumerate(cases)}
        return {id(sample): group_of.get(sample.case, "group 0") for sample in learnt}
    positive = [number for number, sample in enumerate(learnt) if sample.positive]
    half = positive[len(positive) // 2] if len(positive) > 1 else len(learnt)
    return {id(sample): f"group {int(number >= half)}" for number, sample in enumerate(learnt)}


def rehearsed(pack: Pack, patients: Collection[str]) -> list[View]:
    """Views of the training patients that are drawn beside the user's, as often as `recipe.REHEARSED_SHARE` says.

    Args:
        pack: The slices that go with the parent.
        patients: What training takes for the user's patients.
    """
    share = recipes.REHEARSED_SHARE
    return pack.views(max(1, round(len(patients) * share / (1 - share))))


def out_of_fold_guidance(
    trainer: PartTrainer, views: Sequence[View], head: EmbeddingHead, device: torch.device
) -> dict[str, EmbeddingCam]:
    """For each group of views a head that was trained without it; the given one's where there is but one group."""
    groups = sorted({view.case for view in views})
    if len(groups) < 2:
        return {group: EmbeddingCam(head_from(head.state_dict()), device) for group in groups}
    guidance: dict[str, EmbeddingCam] = {}
    for group in groups:
        others = [view for view in views if view.case != group]
        guidance[group] = EmbeddingCam(trainer.head(others, None, f"head without {group}"), device)
    return guidance


def scaled_boxes(start: BoxSettings, views: Sequence[View]) -> BoxSettings:
    """Box settings whose least support suits a structure that may be much smaller than a liver."""
    cells = [float(share.sum()) / 255 / 16 for view in views for share in view.shares if share.any()]
    return replace(start, least_support=round(min(start.least_support, float(np.median(cells))), 1))
