"""Loads a model's folder: SAM backend, guidance, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sammix_core.engines.device import choose_device
from sammix_core.engines.openvino_compiler import FLOAT32
from sammix_core.errors import InputError
from sammix_core.guidance import embedding_cam, resnet38_cam
from sammix_core.guidance.base import Guidance
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.downscaled import DownscaledGuidance
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.guidance.resnet38_cam import CamSettings, ResNet38Cam
from sammix_core.model_store.activation import outdated_note
from sammix_core.model_store.manifest import REFINER
from sammix_core.model_store.organs import DEFAULT_ORGAN
from sammix_core.model_store.store import ModelFolder, resolve
from sammix_core.model_store.weights import load_model_weights
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam.backend import SamBackend
from sammix_core.sam.decoding import MaskSettings
from sammix_core.sam.options import BackendOptions
from sammix_core.sam.registry import build_backend
from sammix_core.segmentation import plausibility
from sammix_core.segmentation.following.settings import NOT_FOLLOWED, FollowSettings
from sammix_core.segmentation.plausibility import Plausibility

if TYPE_CHECKING:
    import torch

GUIDANCES = (embedding_cam.NAME, resnet38_cam.NAME)
_GUIDED_BY = "of"  # in a manifest's guidance: the model whose guidance finds the boxes


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
        following: How boxes are refitted and the organ is followed from slice to slice.
        target: The organ that it segments, "liver".
        plausibility: How to tell whether what was found can be the target; None for a model that carries no
            calibration.
        outdated: A sentence where it was fine-tuned from a version that is no longer shipped.
        refiner: The refiner that was found to go with a fine-tuned version, "liver-refiner/0.3.0"; "" for none.
    """

    spec: str
    backend: SamBackend
    guidance: Guidance
    preprocessing: PreprocessingSpec
    boxes: BoxSettings
    masks: MaskSettings
    device: torch.device
    following: FollowSettings = NOT_FOLLOWED
    target: str = DEFAULT_ORGAN.name
    plausibility: Plausibility | None = None
    outdated: str = ""
    refiner: str = ""

    @property
    def precision(self) -> str:
        """The encoder's precision: "float32", "bfloat16" or "int8"."""
        return self.backend.precision

    @property
    def notes(self) -> Sequence[str]:
        """Plain sentences on what went wrong in the encoder and was handled, and on a model that is out of date."""
        return [*self.backend.notes, *([self.outdated] if self.outdated else [])]


def load_model(
    model: str | Path,
    device: str,
    guidance: str | None,
    base_weights: Path | None,
    engine: str,
    precision: str = FLOAT32,
) -> LoadedModel:
    """Loads a model; see `Segmenter.load`.

    Raises:
        InputError: Model, weights, device or guidance are not there or do not fit each other.
    """
    folder = resolve(model)
    if not folder.manifest.segments:
        raise InputError(f"{folder.spec} refines masks and segments nothing by itself; name it with --refiner.")
    name = guidance or str(folder.manifest.guidance.get("name"))
    if name not in GUIDANCES:
        raise InputError(f"There is no guidance {name!r}; choose one of: {', '.join(GUIDANCES)}.")
    options = BackendOptions(choose_device(device), engine, precision, base_weights)
    if _GUIDED_BY in folder.manifest.guidance:
        return _load_guided_by_another(folder, name, options)
    return _load_self_guided(folder, name, options)


def _load_self_guided(folder: ModelFolder, guidance: str, options: BackendOptions) -> LoadedModel:
    """A model with a guidance of its own."""
    manifest = folder.manifest
    preprocessing = PreprocessingSpec.from_dict(manifest.preprocessing)
    masks = MaskSettings.from_dict(manifest.postprocessing)
    boxes = _box_settings(folder, guidance)
    state = load_model_weights(folder)
    backend = build_backend(folder, state, options)
    if preprocessing.size != backend.image_size:
        raise InputError(
            f"{folder.spec} wants images of {preprocessing.size} pixels, but {backend.name} takes {backend.image_size}."
        )
    return LoadedModel(
        spec=folder.spec,
        backend=backend,
        guidance=_guidance(folder, guidance, state, backend, options.device),
        preprocessing=preprocessing,
        boxes=boxes,
        masks=masks,
        device=options.device,
        following=_following(folder),
        target=manifest.target,
        plausibility=_plausibility(folder),
        outdated=outdated_note(folder),
        refiner=str(manifest.guidance.get(REFINER, "")),
    )


def _load_guided_by_another(folder: ModelFolder, guidance: str, options: BackendOptions) -> LoadedModel:
    """A network for the masks alone; another model finds the boxes. See docs/decisions/fetched-weights.md."""
    manifest = folder.manifest
    guide = resolve(str(manifest.guidance[_GUIDED_BY]))
    if _GUIDED_BY in guide.manifest.guidance:
        raise InputError(f"{folder.spec} takes its boxes from {guide.spec}, which has no guidance of its own.")
    masks = MaskSettings.from_dict(manifest.postprocessing)
    small = PreprocessingSpec.from_dict(guide.manifest.preprocessing)
    boxes = _box_settings(guide, guidance)
    backend = build_backend(folder, load_model_weights(folder), options)
    if guidance == resnet38_cam.NAME:
        downscaled = DownscaledGuidance(_resnet38(guide, options.device), small.size)
    else:
        other = _load_self_guided(guide, guidance, options)
        downscaled = DownscaledGuidance(other.guidance, small.size, other.backend.encode)
    left, top, right, bottom = (edge * backend.image_size / small.size for edge in boxes.padding)
    return LoadedModel(
        spec=folder.spec,
        backend=backend,
        guidance=downscaled,
        preprocessing=replace(small, size=backend.image_size),
        boxes=replace(boxes, padding=(left, top, right, bottom)),
        masks=masks,
        device=options.device,
        following=_following(guide),
        target=manifest.target,
    )


def _guidance(
    folder: ModelFolder, name: str, state: Mapping[str, torch.Tensor], backend: SamBackend, device: torch.device
) -> Guidance:
    if name == embedding_cam.NAME:
        return EmbeddingCam.from_state(state, device, compiled=backend.engine_name == "openvino")
    return _resnet38(folder, device)


def _box_settings(folder: ModelFolder, guidance: str) -> BoxSettings:
    entry = folder.manifest.guidance
    if guidance == resnet38_cam.NAME:
        entry = _resnet38_entry(folder)
    return BoxSettings.from_dict(entry.get("boxes", {}))


def _following(folder: ModelFolder) -> FollowSettings:
    fields = folder.manifest.guidance.get("following")
    return NOT_FOLLOWED if fields is None else FollowSettings.from_dict(fields)


def _plausibility(folder: ModelFolder) -> Plausibility | None:
    settings = folder.manifest.guidance.get(plausibility.NAME)
    # A model fine-tuned by an earlier version may have the settings of its parent's calibration without its weights.
    if settings is None or plausibility.WEIGHTS_FILE not in folder.manifest.files:
        return None
    state = load_model_weights(folder, plausibility.WEIGHTS_FILE)
    return Plausibility.from_state({name: tensor.numpy() for name, tensor in state.items()}, settings)


def _resnet38(folder: ModelFolder, device: torch.device) -> ResNet38Cam:
    settings = CamSettings.from_dict(_resnet38_entry(folder).get("cam", {}))
    return ResNet38Cam.from_state(load_model_weights(folder, resnet38_cam.WEIGHTS_FILE), settings, device)


def _resnet38_entry(folder: ModelFolder) -> dict[str, Any]:
    entry = folder.manifest.guidance.get(resnet38_cam.NAME)
    if not isinstance(entry, dict) or resnet38_cam.WEIGHTS_FILE not in folder.manifest.files:
        raise InputError(
            f"The model {folder.spec} carries no ResNet-38 weights, so it cannot find boxes with it: leave --guidance "
            "out, or train a model whose configuration has a resnet38 section."
        )
    return entry
