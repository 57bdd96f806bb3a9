"""The default method of `sammix train`: supervised, from slices with masks.

Views are made and encoded, a head is trained without each patient in turn and one with all, boxes are calibrated and
the decoder is trained on what the heads make of patients that they have not seen. Where the configuration has sections
for them, the SAM-Mix paper's own parts follow: ResNet-38 as a second guidance, and LoRA on the encoder. LoRA can also
come first, so that everything behind the encoder is made for the adapted one. Each part resumes where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sammix_core.embeddings.view_store import key_of
from sammix_core.engines import int8_measuring
from sammix_core.engines.int8 import RANGES_FILE
from sammix_core.engines.openvino_compiler import FLOAT32, INT8
from sammix_core.errors import InputError
from sammix_core.guidance.base import Guidance, GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import NAME as EMBEDDING_CAM
from sammix_core.guidance.embedding_cam import PREFIX, EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.guidance.resnet38 import ResNet38
from sammix_core.guidance.resnet38_cam import NAME as RESNET38
from sammix_core.guidance.resnet38_cam import OTSU, PAPER_THRESHOLD, CamSettings, ResNet38Cam, default_boxes
from sammix_core.guidance.resnet38_cam import WEIGHTS_FILE as RESNET38_FILE
from sammix_core.model_store.store import ModelFolder
from sammix_core.model_store.weights import write_model
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.sam.decoding import MaskSettings
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.sam.lora import WEIGHTS_FILE as LORA_FILE
from sammix_core.training.calibrate import calibrate_boxes, calibrate_on_maps
from sammix_core.training.case_views import prepare_images, prepare_views
from sammix_core.training.config import TrainingConfig
from sammix_core.training.context import LocalRuntime, TrainingContext
from sammix_core.training.decoder_training import PromptMaker, train_decoder
from sammix_core.training.head_training import train_head
from sammix_core.training.lora_training import DecoderAndHead, train_lora
from sammix_core.training.output import check_free, litemedsam_manifest, model_card
from sammix_core.training.resnet_training import train_resnet38
from sammix_core.training.settings import CALIBRATED, FIRST, LAST, LoraTraining, ResNetTraining
from sammix_core.training.view_encoder import ViewEncoder, adapter_key, as_stored, measured_ranges
from sammix_core.training.views import CLEAN, View

_CPU = torch.device("cpu")
_CALIBRATED_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_BATCH = 8


@dataclass(frozen=True)
class Trained:
    """What training head and decoder gives.

    Attributes:
        head: The guidance head.
        decoder: Tensors of prompt encoder and mask decoder, named as in LiteMedSAM.
        boxes: Calibrated box settings.
        masks: Mask settings.
        encoder: The encoder that they belong to.
    """

    head: EmbeddingHead
    decoder: dict[str, torch.Tensor]
    boxes: BoxSettings
    masks: MaskSettings
    encoder: ViewEncoder = field(default_factory=ViewEncoder)

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors as a model's weights name them."""
        return {**{PREFIX + name: tensor for name, tensor in self.head.state_dict().items()}, **self.decoder}


@dataclass(frozen=True)
class TrainedParts:
    """Everything that a configuration trains.

    Attributes:
        trained: Head and decoder; those that go with LoRA where LoRA was trained.
        files: Tensors of further weights files, by file name.
        guidance: Further entries of the manifest's guidance.
        copies: Further files as they are, by file name.
    """

    trained: Trained
    files: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    guidance: dict[str, Any] = field(default_factory=dict)
    copies: dict[str, Path] = field(default_factory=dict)


class SupervisedTrainer:
    """Trains from one configuration, with all patients or without one.

    Args:
        config: What to train.
        progress: Called after each step of each stage.
        cancel: Polled after each step; return True to stop.

    Attributes:
        config: As given.
        encoder: The encoder that the views go through.
        backend: LiteMedSAM with its base weights; where LoRA was trained first, with the adapted encoder and the
            decoder that was trained beside it.
        views: The views of all cases.
    """

    def __init__(
        self, config: TrainingConfig, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
    ) -> None:
        self.config = config
        self._progress = progress
        self._cancel = cancel
        self._runtime = LocalRuntime(config.precision)
        self.encoder = ViewEncoder(config.encoder)
        self.encoder.check()
        decoder: dict[str, torch.Tensor] = {}
        if config.lora is not None and config.lora.order == FIRST:
            self.encoder, decoder = self._adapted_first()
        self.backend = _backend(self.encoder)
        self.backend.load_trained(decoder)
        self.views = prepare_views(config, self.backend, progress, cancel, self.encoder.identity)

    @cached_property
    def images(self) -> list[np.ndarray]:
        """The images of `views`, in the same order."""
        return prepare_images(self.config, self.views, self._progress, self._cancel)

    def parts(self, without: str | None = None) -> TrainedParts:
        """Trains everything that the configuration has sections for.

        Args:
            without: A patient to leave out altogether, with those of its fold, or None.

        Raises:
            InputError: Fewer than two patients with the structure are left, or a section needs one that is not there.
            Cancelled: The user stopped; the next call resumes.
        """
        trained = self.train(without)
        files: dict[str, dict[str, torch.Tensor]] = {}
        guidance: dict[str, Any] = {}
        if self.config.resnet38 is not None:
            cam, boxes = self.resnet38_guidance(without)
            files[RESNET38_FILE] = cam.network.state_dict()
            guidance[RESNET38] = {"cam": cam.settings.to_dict(), "boxes": boxes.to_dict()}
        if trained.encoder.adapter is not None:
            files[LORA_FILE] = dict(trained.encoder.adapter)
        elif self.config.lora is not None:
            trained, files[LORA_FILE] = self.adapted(trained, without)
        ranges = trained.encoder.ranges
        return TrainedParts(trained, files, guidance, {} if ranges is None else {RANGES_FILE: ranges})

    def train(self, without: str | None = None) -> Trained:
        """Trains head and decoder.

        The heads that make the prompts for the decoder's training each lack the patient that they make them for. Where
        LoRA was trained first, and is not shared, a model without a patient has a LoRA and views of its own.

        Args:
            without: A patient to leave out altogether, with those of its fold, or None.

        Raises:
            InputError: Fewer than two patients with the structure are left.
            Cancelled: The user stopped; the next call resumes.
        """
        lora = self.config.lora
        if without is not None and lora is not None and lora.order == FIRST and not lora.shared:
            return self._trained_on_others(without)
        views = self._views(without)
        patients = sorted({view.patient for view in views})
        if len({view.patient for view in views if view.shares.any()}) < 2:
            raise InputError(
                "Training needs two patients with the structure: prompts come from heads without the patient."
            )
        head = self.head(without)
        # A fold's prompts come from heads without the prompted patient; that these have seen the patient left out
        # reaches the fold's decoder through boxes and maps of other patients only.
        guidance = {patient: EmbeddingCam(self.head(patient), _CPU) for patient in patients}
        boxes = calibrate_boxes(views, guidance, BoxSettings())
        masks = MaskSettings(clean_density=self.config.clean_density)
        depends_on = [asdict(self.config.decoder), self.config.precision, boxes.to_dict(), masks.trained_with()]
        context = self._context("decoder", "decoder", without, depends_on)
        prompts = PromptMaker(guidance, boxes, masks)
        decoder = train_decoder(self.backend, views, prompts, self.config.decoder, context)
        return Trained(head, decoder, boxes, masks, self.encoder)

    def head(self, without: str | None) -> EmbeddingHead:
        """The head trained without a patient and those of its fold, or with all."""
        views = self._views(without)
        settings = self.config.head
        context = self._context("head", "head", without, [asdict(settings), self.config.precision])
        return train_head(views, settings, context)

    def resnet38(self, without: str | None = None) -> ResNet38:
        """The ResNet-38 trained without a patient, or with all."""
        settings = self._resnet38_section()
        # The maps are made of it after training, so that their settings change no checkpoint.
        trained_with = {k: v for k, v in asdict(settings).items() if k not in ("method", "layer", "threshold")}
        views, images = self._without(without)
        context = self._context(RESNET38, "ResNet-38", without, [trained_with, self.config.precision])
        return train_resnet38(views, images, settings, context)

    def resnet38_guidance(self, without: str | None = None) -> tuple[ResNet38Cam, BoxSettings]:
        """The second guidance with its box settings, calibrated by networks without each patient where configured."""
        settings = self._resnet38_section()
        rule: float | str = OTSU if settings.threshold == OTSU else PAPER_THRESHOLD
        cam = CamSettings(settings.method, settings.layer, rule)
        boxes = default_boxes()
        if settings.threshold == CALIBRATED:
            views, images = self._without(without)
            clean = [number for number, view in enumerate(views) if view.name == CLEAN]
            maps = [_maps(ResNet38Cam(self.resnet38(views[n].patient), cam, _CPU), images[n]) for n in clean]
            # A threshold of the logits is one of the map, moved and enlarged.
            logits = tuple(cam.gain * (threshold - PAPER_THRESHOLD) for threshold in _CALIBRATED_THRESHOLDS)
            calibrated = calibrate_on_maps([views[n] for n in clean], maps, boxes, logits)
            cam = replace(cam, threshold=round(PAPER_THRESHOLD + calibrated.threshold / cam.gain, 6))
            boxes = replace(calibrated, threshold=0.0)
        return ResNet38Cam(self.resnet38(without), cam, _CPU), boxes

    def adapted(self, trained: Trained, without: str | None = None) -> tuple[Trained, dict[str, torch.Tensor]]:
        """Trains LoRA, beginning with what `train` gave.

        Args:
            trained: Head and decoder.
            without: A patient to leave out altogether, with those of its fold, or None.

        Returns:
            Head and decoder for the adapted encoder, and LoRA's matrices.

        Raises:
            InputError: The configuration has no section for LoRA, or for the guidance that makes its prompts.
            Cancelled: The user stopped; the next call resumes.
        """
        settings = self.config.lora
        if settings is None:
            raise InputError("The training configuration has no section lora, so that no LoRA can be trained.")
        views, images = self._without(without)
        boxes = trained.boxes
        guidance: dict[str, Guidance] = {}
        for patient in sorted({view.patient for view in views}):
            if settings.prompts == RESNET38:
                guidance[patient], boxes = self._resnet38_without(patient, without)
            else:
                guidance[patient] = EmbeddingCam(self.head(patient), _CPU)
        context = self._context("lora", "LoRA", without, self._lora_depends_on(settings, trained, boxes))
        prompts = PromptMaker(guidance, boxes, trained.masks)
        start = DecoderAndHead(trained.decoder, trained.head)
        result = train_lora(self.backend, views, images, prompts, start, settings, context)
        return Trained(result.head, result.decoder, trained.boxes, trained.masks), result.adapter

    def _adapted_first(self) -> tuple[ViewEncoder, dict[str, torch.Tensor]]:
        """Trains LoRA on a few views through the plain encoder, and measures the adapted one's int8 ranges.

        The prompts come from heads without the prompted patient, trained on the same views; the decoder begins as
        LiteMedSAM's own.

        Returns:
            The adapted encoder, and the decoder that was trained beside LoRA.
        """
        config, settings = self.config, self.config.lora
        if settings is None:
            raise ValueError("the configuration has no section lora")
        if config.encoder == INT8:
            int8_measuring.require_nncf()
        own_decoder = replace(config.decoder, steps=0)
        last = replace(settings, order=LAST)
        plain = config.model_copy(
            update={"views": settings.views, "decoder": own_decoder, "lora": last, "resnet38": None}
        )
        trainer = SupervisedTrainer(plain, self._progress, self._cancel)
        result, adapter = trainer.adapted(trainer.train())
        adapter = as_stored(adapter)
        encoder = ViewEncoder(FLOAT32, adapter)
        if config.encoder == INT8:
            network = _backend(encoder, engine="torch").network.image_encoder
            folder = config.work / "checkpoints"
            ranges = measured_ranges(network, trainer.views, trainer.images, adapter_key(adapter), folder)
            encoder = ViewEncoder(INT8, adapter, ranges)
        return encoder, result.decoder

    def _trained_on_others(self, patient: str) -> Trained:
        """Everything, LoRA included, as if a patient's cases were not there."""
        left_out = self.config.left_out_with(patient)
        others = tuple(case for case in self.config.cases if case.patient not in left_out)
        config = self.config.model_copy(update={"cases": others})
        return SupervisedTrainer(config, self._progress, self._cancel).train()

    def _lora_depends_on(self, settings: LoraTraining, trained: Trained, boxes: BoxSettings) -> list[object]:
        """Everything that LoRA's training depends on, so that its checkpoint is not taken for another one's."""
        before = [asdict(self.config.head), asdict(self.config.decoder), boxes.to_dict(), trained.masks.trained_with()]
        resnet = None if self.config.resnet38 is None else asdict(self.config.resnet38)
        # When LoRA is trained, and on which views, is in their stores' names.
        how = {key: value for key, value in asdict(settings).items() if key not in ("order", "views", "shared")}
        return [how, *before, resnet, self.config.precision]

    def _resnet38_without(self, patient: str, without: str | None) -> tuple[ResNet38Cam, BoxSettings]:
        """The guidance for one patient's slices, with the settings that are used for all."""
        cam, boxes = self.resnet38_guidance(without)
        return ResNet38Cam(self.resnet38(patient), cam.settings, _CPU), boxes

    def _views(self, without: str | None) -> list[View]:
        """Views of the patients that are not left out."""
        left_out = self.config.left_out_with(without)
        return [view for view in self.views if view.patient not in left_out]

    def _without(self, patient: str | None) -> tuple[list[View], list[np.ndarray]]:
        """Views and images of all other patients."""
        left_out = self.config.left_out_with(patient)
        pairs = [(v, i) for v, i in zip(self.views, self.images, strict=True) if v.patient not in left_out]
        return [view for view, _ in pairs], [images for _, images in pairs]

    def _resnet38_section(self) -> ResNetTraining:
        if self.config.resnet38 is None:
            raise InputError("The training configuration has no section resnet38, which its prompts or guidance need.")
        return self.config.resnet38

    def _context(self, part: str, label: str, without: str | None, depends_on: Sequence[object]) -> TrainingContext:
        """What a part's training runs with; its checkpoint's name changes with what it is trained on and how."""
        views, left_out = self._views(without), self.config.left_out_with(without)
        stored = [(Path(str(view.embeddings.filename)).parent.name, view.name) for view in views]  # type: ignore[attr-defined]
        # Whose volumes they are changes the draws; patients of one volume each are named by their cases already.
        shared = {view.case: view.patient for view in views if view.patient != view.case}
        key = key_of([self.config.seed, stored, list(depends_on), *([shared] if shared else [])])
        return TrainingContext(
            label=f"{label} {'without ' + ', '.join(left_out) if left_out else 'with all patients'}",
            checkpoint=self.config.work / "checkpoints" / f"{part}-{'+'.join(left_out) or 'all'}-{key}.pt",
            seed=self.config.seed,
            runtime=self._runtime,
            progress=self._progress,
            cancel=self._cancel,
        )


def train_supervised(
    path: str | Path, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
) -> ModelFolder:
    """Trains the model that a configuration without a `method` describes; see `run.train_from_config`."""
    config = TrainingConfig.read(path)
    spec = check_free(litemedsam_manifest(config, {}, {}, {}), config.output)
    parts = SupervisedTrainer(config, progress, cancel).parts()
    trained = parts.trained
    guidance: Mapping[str, Any] = {"name": EMBEDDING_CAM, "boxes": trained.boxes.to_dict(), **parts.guidance}
    manifest = litemedsam_manifest(config, guidance, trained.masks.to_dict(), {})
    card = model_card(config.folder, spec)
    return write_model(config.output, manifest, trained.state(), card, more=parts.files, copies=parts.copies)


def _backend(encoder: ViewEncoder, engine: str = "auto") -> LiteMedSam:
    """LiteMedSAM behind an encoder; int8 runs in OpenVINO or is refused."""
    if encoder.precision == INT8:
        engine = "openvino"
    return LiteMedSam(_CPU, None, engine, encoder.adapter, encoder.precision, encoder.ranges)


def _maps(guidance: Guidance, images: np.ndarray) -> GuidanceMaps:
    """The maps of all images of a view by a guidance that needs no embeddings."""
    no_embeddings = torch.empty(0)
    parts = [
        guidance.maps(torch.from_numpy(images[start : start + _BATCH].astype(np.float32))[:, None], no_embeddings)
        for start in range(0, len(images), _BATCH)
    ]
    return GuidanceMaps(
        np.concatenate([part.cam_logits for part in parts]), np.concatenate([part.probabilities for part in parts])
    )
