"""The one door: from a volume to boxes and masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.boxes import BoxTrack
from sammix_core.device import choose_device
from sammix_core.errors import InputError
from sammix_core.guidance.base import Guidance
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import NAME as EMBEDDING_CAM
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.store import resolve
from sammix_core.model_store.weights import load_model_weights
from sammix_core.preprocessing import PreprocessingSpec
from sammix_core.progress import CancelCheck, Progress, ProgressCallback
from sammix_core.results import SegmentationResult, SliceReport
from sammix_core.sam.backend import SamBackend
from sammix_core.sam.litemedsam import TRAINED_PARTS, LiteMedSam
from sammix_core.sam.masks import MaskSettings
from sammix_core.session import SegmentationSession
from sammix_core.volume import Volume

if TYPE_CHECKING:
    import torch

__all__ = [
    "CancelCheck",
    "LoadedModel",
    "Progress",
    "ProgressCallback",
    "SegmentationResult",
    "SegmentationSession",
    "Segmenter",
    "SliceReport",
]

GUIDANCES = (EMBEDDING_CAM,)


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to compute.

    Attributes:
        spec: "liver/1.0.0".
        backend: The SAM backend.
        guidance: The guidance.
        preprocessing: HU window, size, crop.
        boxes: How boxes are made of maps.
        masks: How masks are made of boxes.
        device: Where it computes.
    """

    spec: str
    backend: SamBackend
    guidance: Guidance
    preprocessing: PreprocessingSpec
    boxes: BoxSettings
    masks: MaskSettings
    device: torch.device


class Segmenter:
    """Segments volumes with one model on one device.

    Example:
        segmenter = Segmenter.load("liver")
        result = segmenter.segment_volume(read_volume("ct.nii.gz"))
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    @classmethod
    def load(
        cls,
        model: str | Path = "liver",
        device: str = "auto",
        guidance: str | None = None,
        base_weights: Path | None = None,
        engine: str = "auto",
    ) -> Segmenter:
        """Loads a model.

        Args:
            model: Name ("liver": its newest version), name and version ("liver/1.0.0"), or a folder.
            device: "auto", "cpu" or "cuda".
            guidance: Name of the guidance, or None for the model's own.
            base_weights: A local file of the base model's weights, or None for the installed one.
            engine: How the encoder runs: "auto", "torch" or "openvino".

        Raises:
            InputError: Model, weights, device or guidance are not there or do not fit each other.
        """
        folder = resolve(model)
        manifest = folder.manifest
        name = guidance or str(manifest.guidance.get("name"))
        if name not in GUIDANCES:
            raise InputError(f"There is no guidance {name!r}; choose one of: {', '.join(GUIDANCES)}.")
        if manifest.base_model.get("sha256") != LITE_MEDSAM.sha256:
            raise InputError(f"{manifest.spec} was made on another base model than the one that this version knows.")
        preprocessing = PreprocessingSpec.from_dict(manifest.preprocessing)
        boxes = BoxSettings.from_dict(manifest.guidance.get("boxes", {}))
        masks = MaskSettings.from_dict(manifest.postprocessing)
        state = load_model_weights(folder)
        chosen = choose_device(device)
        backend = LiteMedSam(chosen, base_weights, engine)
        backend.load_trained({k: v for k, v in state.items() if k.startswith(TRAINED_PARTS)})
        if preprocessing.size != backend.image_size:
            raise InputError(f"{manifest.spec} wants images of {preprocessing.size} pixels, but LiteMedSAM takes 256.")
        cam = EmbeddingCam.from_state(state, chosen)
        return cls(LoadedModel(manifest.spec, backend, cam, preprocessing, boxes, masks, chosen))

    def open_session(self, volume: Volume, keep_uncertainty: bool = False) -> SegmentationSession:
        """Opens a volume for interactive use; nothing is computed yet.

        Args:
            volume: The CT.
            keep_uncertainty: Whether results say how far the three masks are apart.
        """
        return SegmentationSession(self.model, volume, keep_uncertainty=keep_uncertainty)

    def segment_volume(
        self,
        volume: Volume,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        boxes: BoxTrack | None = None,
        uncertainty: bool = False,
    ) -> SegmentationResult:
        """Segments a whole volume.

        Args:
            volume: The CT.
            progress: Told after each slice.
            cancel: Asked after each slice.
            boxes: Boxes to use as they are (a slice without one gets no mask), or None to find them.
            uncertainty: Whether the result says how far the three masks are apart.

        Returns:
            The mask on the volume's own grid, with boxes and a report a slice.

        Raises:
            Cancelled: The user stopped; nothing remains.
            InputError: The boxes do not fit the volume.
        """
        session = self.open_session(volume, uncertainty)
        if boxes is not None:
            boxes.check_fits(volume)
        session.find_boxes(progress, cancel)
        if boxes is not None:
            session.boxes = boxes.copy()
        return session.segment_boxes(progress, cancel)
