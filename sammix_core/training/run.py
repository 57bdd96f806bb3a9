"""`sammix train`: from a configuration to a model folder.

Views are made and encoded, a head is trained without each patient in turn and one with all, boxes are calibrated and
the decoder is trained on what the heads make of patients that they have not seen. Each part resumes where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from sammix_core.errors import InputError
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import NAME as EMBEDDING_CAM
from sammix_core.guidance.embedding_cam import PREFIX, EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.manifest import Manifest
from sammix_core.model_store.store import ModelFolder
from sammix_core.model_store.weights import write_model
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.sam.decoding import MaskSettings
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.training.calibrate import calibrate_boxes
from sammix_core.training.config import TrainingConfig
from sammix_core.training.config_values import model_card, read_entry
from sammix_core.training.decoder_training import PromptMaker, train_decoder
from sammix_core.training.head_training import train_head
from sammix_core.training.prepare import prepare_views
from sammix_core.training.views import View

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Trained:
    """What one training gives.

    Attributes:
        head: The guidance head.
        decoder: Tensors of prompt encoder and mask decoder, named as in LiteMedSAM.
        boxes: Calibrated box settings.
        masks: Mask settings.
    """

    head: EmbeddingHead
    decoder: dict[str, torch.Tensor]
    boxes: BoxSettings
    masks: MaskSettings

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors as a model's weights name them."""
        return {**{PREFIX + name: tensor for name, tensor in self.head.state_dict().items()}, **self.decoder}


class Trainer:
    """Trains from one configuration, with all patients or without one."""

    def __init__(
        self, config: TrainingConfig, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
    ) -> None:
        self.config = config
        self._progress = progress
        self._cancel = cancel
        self.backend = LiteMedSam(_CPU)
        self._fabric = Fabric(accelerator="cpu", devices=1, precision=config.precision)
        self.views = prepare_views(config, self.backend, progress, cancel)

    def train(self, without: str | None = None) -> Trained:
        """Trains head and decoder.

        The heads that make the prompts for the decoder's training each lack the patient that they make them for.

        Args:
            without: A patient to leave out altogether, for leave-one-patient-out, or None.

        Raises:
            InputError: Fewer than two patients with the structure are left.
            Cancelled: The user stopped; the next run goes on from there.
        """
        views = [view for view in self.views if view.case != without]
        patients = sorted({view.case for view in views})
        if len({view.case for view in views if view.shares.any()}) < 2:
            raise InputError(
                "Training needs two patients with the structure: prompts come from heads without the patient."
            )
        head = self.head(without)
        # A fold's prompts come from heads without the prompted patient; that these have seen the patient left out
        # reaches the fold's decoder through boxes and maps of other patients only.
        guidance = {patient: EmbeddingCam(self.head(patient), _CPU) for patient in patients}
        boxes = calibrate_boxes(views, guidance, BoxSettings())
        masks = MaskSettings()
        decoder = train_decoder(
            self.backend,
            views,
            PromptMaker(guidance, boxes, masks),
            self.config.decoder,
            self.config.seed,
            self._fabric,
            self._checkpoint(
                "decoder",
                without,
                [asdict(self.config.decoder), self.config.precision, boxes.to_dict(), masks.trained_with()],
            ),
            f"decoder {_label(without)}",
            self._progress,
            self._cancel,
        )
        return Trained(head, decoder, boxes, masks)

    def head(self, without: str | None) -> EmbeddingHead:
        """The head trained without a patient, or with all."""
        views: Sequence[View] = [view for view in self.views if view.case != without]
        checkpoint = self._checkpoint("head", without, [asdict(self.config.head), self.config.precision])
        return train_head(
            views,
            self.config.head,
            self.config.seed,
            self._fabric,
            checkpoint,
            f"head {_label(without)}",
            self._progress,
            self._cancel,
        )

    def _checkpoint(self, part: str, without: str | None, settings: list[object]) -> Path:
        """A checkpoint's file; its name changes with what it was trained on and how."""
        views = [(str(view.embeddings.filename), view.name) for view in self.views if view.case != without]  # type: ignore[attr-defined]
        named = [(Path(file).parent.name, name) for file, name in views]
        key = hashlib.sha256(json.dumps([self.config.seed, named, settings]).encode()).hexdigest()[:12]
        return self.config.work / "checkpoints" / f"{part}-{without or 'all'}-{key}.pt"


def train_from_config(
    path: str | Path, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
) -> ModelFolder:
    """Trains the model that a configuration describes and writes its folder.

    Args:
        path: The YAML file.
        progress: Told how far each stage is.
        cancel: Asked after each step; what is finished stays for the next run.

    Returns:
        The model's folder.

    Raises:
        InputError: The configuration or a case cannot be used, or that version is there already.
        Cancelled: The user stopped.
    """
    method = read_entry(Path(path)).get("method")
    if method == "msam":
        from sammix_core.training.msam.config import MSamConfig
        from sammix_core.training.msam.train import train_msam

        return train_msam(MSamConfig.read(path), progress, cancel)
    if method == "sammix":
        from sammix_core.training.semi_supervised.run import train_semi_supervised

        return train_semi_supervised(path, progress, cancel)
    config = TrainingConfig.read(path)
    # Before hours of work: a name or version that cannot be, or that is there already.
    spec = _manifest(config, BoxSettings(), MaskSettings()).spec
    if (config.output / spec).exists():
        raise InputError(f"The model {spec} is there already, in {config.output / spec}; choose another version.")
    from sammix_core.training.paper_run import PaperTrainer  # which builds on this module

    parts = PaperTrainer(config, progress, cancel).parts()
    trained = parts.trained
    text = model_card(config.folder, spec)
    manifest = _manifest(config, trained.boxes, trained.masks, parts.guidance)
    return write_model(config.output, manifest, trained.state(), text, more=parts.files)


def _manifest(
    config: TrainingConfig, boxes: BoxSettings, masks: MaskSettings, more_guidance: Mapping[str, Any] | None = None
) -> Manifest:
    return Manifest.of_today(
        name=config.name,
        version=config.version,
        target=config.target,
        base_model={"name": LITE_MEDSAM.name, "sha256": LITE_MEDSAM.sha256},
        preprocessing=config.preprocessing.to_dict(),
        guidance={
            "name": EMBEDDING_CAM,
            "boxes": boxes.to_dict(),
            "following": FollowSettings().to_dict(),
            **(more_guidance or {}),
        },
        postprocessing=masks.to_dict(),
        metrics={},
        training_cases=[case.name for case in config.cases],
    )


def _label(without: str | None) -> str:
    return "with all patients" if without is None else f"without {without}"
