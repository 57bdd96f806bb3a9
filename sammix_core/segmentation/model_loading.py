"""From a model's folder to everything that computes: SAM backend, guidance, settings."""

from __future__ import annotations

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
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.store import ModelFolder, resolve
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS
from sammix_core.model_store.weights import load_model_weights
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam import lora
from sammix_core.sam.backend import SamBackend
from sammix_core.sam.decoding import MaskSettings
from sammix_core.sam.litemedsam import TRAINED_PARTS, LiteMedSam
from sammix_core.segmentation.following.settings import NOT_FOLLOWED, FollowSettings

if TYPE_CHECKING:
    import torch

GUIDANCES = (embedding_cam.NAME, resnet38_cam.NAME)


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
        target: What it segments, "liver".
    """

    spec: str
    backend: SamBackend
    guidance: Guidance
    preprocessing: PreprocessingSpec
    boxes: BoxSettings
    masks: MaskSettings
    device: torch.device
    following: FollowSettings = NOT_FOLLOWED
    target: str = "liver"

    @property
    def precision(self) -> str:
        """How exactly the encoder computes: "float32", "bfloat16" or "int8"."""
        return str(getattr(getattr(self.backend, "engine", None), "precision", FLOAT32))

    @property
    def notes(self) -> list[str]:
        """Plain sentences on what did not go as usual in the encoder, such as a GPU without memory."""
        return list(getattr(getattr(self.backend, "engine", None), "notes", ()))


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
    if folder.manifest.base_model.get("name") in THIRD_PARTY_WEIGHTS:
        return _load_published(folder, name, device, base_weights, engine, precision)
    return _load_trained(folder, name, device, base_weights, engine, precision)


def _load_trained(
    folder: ModelFolder, guidance: str, device: str, base_weights: Path | None, engine: str, precision: str
) -> LoadedModel:
    """A model of ours, on top of LiteMedSAM."""
    manifest = folder.manifest
    if manifest.base_model.get("sha256") != LITE_MEDSAM.sha256:
        raise InputError(f"{manifest.spec} was made on another base model than the one that this version knows.")
    preprocessing = PreprocessingSpec.from_dict(manifest.preprocessing)
    masks = MaskSettings.from_dict(manifest.postprocessing)
    boxes = _box_settings(folder, guidance)
    state = load_model_weights(folder)
    chosen = choose_device(device)
    backend = LiteMedSam(chosen, base_weights, engine, _adapter(folder), precision)
    backend.load_trained({k: v for k, v in state.items() if k.startswith(TRAINED_PARTS)})
    if preprocessing.size != backend.image_size:
        raise InputError(f"{manifest.spec} wants images of {preprocessing.size} pixels, but LiteMedSAM takes 256.")
    own = guidance == embedding_cam.NAME
    found: Guidance
    if own:
        found = EmbeddingCam.from_state(state, chosen, compiled=backend.engine.name == "openvino")
    else:
        found = _resnet38(folder, chosen)
    return LoadedModel(
        manifest.spec, backend, found, preprocessing, boxes, masks, chosen, _following(folder), manifest.target
    )


def _load_published(
    folder: ModelFolder, guidance: str, device: str, base_weights: Path | None, engine: str, precision: str
) -> LoadedModel:
    """Weights of others for the masks; one of our models says where to look. See docs/decisions/fetched-weights.md."""
    from sammix_core.sam.vit import IMAGE_SIZE, VitSam

    manifest = folder.manifest
    published = THIRD_PARTY_WEIGHTS[manifest.base_model["name"]]
    if manifest.base_model["sha256"] != published.sha256:
        raise InputError(
            f"{manifest.spec} was made of another file than the {published.title} that this version knows."
        )
    of = resolve(str(manifest.guidance.get("of")))
    if of.manifest.base_model.get("name") in THIRD_PARTY_WEIGHTS:
        raise InputError(f"{manifest.spec} takes its boxes from {of.spec}, which has no guidance of its own.")
    masks = MaskSettings.from_dict(manifest.postprocessing)
    small = PreprocessingSpec.from_dict(of.manifest.preprocessing)
    boxes = _box_settings(of, guidance)
    chosen = choose_device(device)
    if guidance == resnet38_cam.NAME:
        found = DownscaledGuidance(_resnet38(of, chosen), small.size)
    else:
        other = _load_trained(of, guidance, device, base_weights, engine, precision)
        found = DownscaledGuidance(other.guidance, small.size, other.backend.encode)
    backend = VitSam(chosen, published, load_model_weights(folder), engine, _adapter(folder))
    left, top, right, bottom = (edge * IMAGE_SIZE / small.size for edge in boxes.padding)
    return LoadedModel(
        manifest.spec,
        backend,
        found,
        replace(small, size=IMAGE_SIZE),
        replace(boxes, padding=(left, top, right, bottom)),
        masks,
        chosen,
        _following(of),
        manifest.target,
    )


def _box_settings(folder: ModelFolder, guidance: str) -> BoxSettings:
    entry = folder.manifest.guidance
    if guidance == resnet38_cam.NAME:
        entry = _resnet38_entry(folder)
    return BoxSettings.from_dict(entry.get("boxes", {}))


def _following(folder: ModelFolder) -> FollowSettings:
    fields = folder.manifest.guidance.get("following")
    return NOT_FOLLOWED if fields is None else FollowSettings.from_dict(fields)


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


def _adapter(folder: ModelFolder) -> dict[str, torch.Tensor] | None:
    return load_model_weights(folder, lora.WEIGHTS_FILE) if lora.WEIGHTS_FILE in folder.manifest.files else None
