"""Trains the SAM-Mix paper's own parts beside ours: ResNet-38 as a second guidance, and LoRA on the encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from sammix_core.errors import InputError
from sammix_core.guidance.base import Guidance, GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.guidance.resnet38 import ResNet38
from sammix_core.guidance.resnet38_cam import NAME as RESNET38
from sammix_core.guidance.resnet38_cam import OTSU, PAPER_THRESHOLD, CamSettings, ResNet38Cam, default_boxes
from sammix_core.guidance.resnet38_cam import WEIGHTS_FILE as RESNET38_FILE
from sammix_core.sam.lora import WEIGHTS_FILE as LORA_FILE
from sammix_core.training.calibrate import calibrate_on_maps
from sammix_core.training.decoder_training import PromptMaker
from sammix_core.training.lora_training import train_lora
from sammix_core.training.paper_sections import CALIBRATED, LoraTraining, ResNetTraining
from sammix_core.training.resnet_training import train_resnet38
from sammix_core.training.run import Trained, Trainer
from sammix_core.training.view_images import prepare_images
from sammix_core.training.views import CLEAN, View

_CPU = torch.device("cpu")
_CALIBRATED_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_BATCH = 8


@dataclass(frozen=True)
class PaperParts:
    """What the paper's parts add to a model.

    Attributes:
        trained: Our own parts; head and decoder are those that go with LoRA where LoRA was trained.
        files: Tensors of further weights files, by file name.
        guidance: Further entries of the manifest's guidance.
    """

    trained: Trained
    files: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    guidance: dict[str, Any] = field(default_factory=dict)


class PaperTrainer(Trainer):
    """A `Trainer` that trains the parts that the configuration has sections for."""

    @cached_property
    def images(self) -> list[np.ndarray]:
        """The images of `views`, in the same order."""
        return prepare_images(self.config, self.views, self._progress, self._cancel)

    def parts(self, without: str | None = None) -> PaperParts:
        """Trains everything that the configuration asks for.

        Args:
            without: A patient to leave out altogether, or None.

        Raises:
            InputError: Fewer than two patients with the structure are left, or a section needs one that is not there.
            Cancelled: The user stopped; the next run goes on from there.
        """
        trained = self.train(without)
        files: dict[str, dict[str, torch.Tensor]] = {}
        guidance: dict[str, Any] = {}
        if self.config.resnet38 is not None:
            found, boxes = self.resnet38_guidance(without)
            files[RESNET38_FILE] = found.network.state_dict()
            guidance[RESNET38] = {"cam": found.settings.to_dict(), "boxes": boxes.to_dict()}
        if self.config.lora is not None:
            trained, files[LORA_FILE] = self.adapted(trained, without)
        return PaperParts(trained, files, guidance)

    def resnet38(self, without: str | None = None) -> ResNet38:
        """The ResNet-38 trained without a patient, or with all."""
        settings = self._resnet38_section()
        # What maps are made of it comes after training, so it changes no checkpoint.
        named = {k: v for k, v in asdict(settings).items() if k not in ("method", "layer", "threshold")}
        views, images = self._left(without)
        return train_resnet38(
            views,
            images,
            settings,
            self.config.seed,
            self._fabric,
            self._checkpoint(RESNET38, without, [named, self.config.precision]),
            f"ResNet-38 {'with all patients' if without is None else f'without {without}'}",
            self._progress,
            self._cancel,
        )

    def resnet38_guidance(self, without: str | None = None) -> tuple[ResNet38Cam, BoxSettings]:
        """The second guidance with its box settings; calibrated by networks without each patient where asked for."""
        settings = self._resnet38_section()
        rule: float | str = OTSU if settings.threshold == OTSU else PAPER_THRESHOLD
        cam = CamSettings(settings.method, settings.layer, rule)
        boxes = default_boxes()
        if settings.threshold == CALIBRATED:
            views, images = self._left(without)
            clean = [number for number, view in enumerate(views) if view.name == CLEAN]
            maps = [self._maps(ResNet38Cam(self.resnet38(views[n].case), cam, _CPU), images[n]) for n in clean]
            # A threshold of the logits is one of the map, moved and enlarged.
            logits = tuple(cam.gain * (threshold - PAPER_THRESHOLD) for threshold in _CALIBRATED_THRESHOLDS)
            found = calibrate_on_maps([views[n] for n in clean], maps, boxes, logits)
            cam = replace(cam, threshold=round(PAPER_THRESHOLD + found.threshold / cam.gain, 6))
            boxes = replace(found, threshold=0.0)
        return ResNet38Cam(self.resnet38(without), cam, _CPU), boxes

    def adapted(self, trained: Trained, without: str | None = None) -> tuple[Trained, dict[str, torch.Tensor]]:
        """Trains LoRA with what `train` gave.

        Returns:
            Head and decoder for the adapted encoder, and LoRA's matrices.
        """
        settings = self.config.lora
        assert settings is not None
        views, images = self._left(without)
        boxes = trained.boxes
        patients = sorted({view.case for view in views})
        guidance: dict[str, Guidance] = {}
        if settings.prompts == RESNET38:
            for patient in patients:
                guidance[patient], boxes = self._resnet38_without(patient, without)
        else:
            guidance = {patient: EmbeddingCam(self.head(patient), _CPU) for patient in patients}
        result = train_lora(
            self.backend,
            views,
            images,
            PromptMaker(guidance, boxes, trained.masks),
            trained.decoder,
            trained.head,
            settings,
            self.config.seed,
            self._fabric,
            self._checkpoint("lora", without, self._lora_names(settings, trained, boxes)),
            f"LoRA {'with all patients' if without is None else f'without {without}'}",
            self._progress,
            self._cancel,
        )
        return Trained(result.head, result.decoder, trained.boxes, trained.masks), result.adapter

    def _lora_names(self, settings: LoraTraining, trained: Trained, boxes: BoxSettings) -> list[object]:
        """Everything that LoRA's training depends on, so that its checkpoint is not taken for another one's."""
        before = [asdict(self.config.head), asdict(self.config.decoder), boxes.to_dict(), trained.masks.trained_with()]
        resnet = None if self.config.resnet38 is None else asdict(self.config.resnet38)
        return [asdict(settings), *before, resnet, self.config.precision]

    def _resnet38_without(self, patient: str, without: str | None) -> tuple[ResNet38Cam, BoxSettings]:
        """The guidance for one patient's slices, with the settings that are used for all."""
        found, boxes = self.resnet38_guidance(without)
        return ResNet38Cam(self.resnet38(patient), found.settings, _CPU), boxes

    def _left(self, without: str | None) -> tuple[list[View], list[np.ndarray]]:
        pairs = [(v, i) for v, i in zip(self.views, self.images, strict=True) if v.case != without]
        return [view for view, _ in pairs], [images for _, images in pairs]

    def _maps(self, guidance: Guidance, images: np.ndarray) -> GuidanceMaps:
        """The guidance's maps of all slices of a view."""
        nothing = torch.empty(0)
        parts = [
            guidance.maps(torch.from_numpy(images[start : start + _BATCH].astype(np.float32))[:, None], nothing)
            for start in range(0, len(images), _BATCH)
        ]
        return GuidanceMaps(
            np.concatenate([part.cam_logits for part in parts]), np.concatenate([part.probabilities for part in parts])
        )

    def _resnet38_section(self) -> ResNetTraining:
        if self.config.resnet38 is None:
            raise InputError("The training configuration has no section resnet38, which its prompts or guidance need.")
        return self.config.resnet38
