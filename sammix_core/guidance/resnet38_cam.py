"""The paper's guidance: ResNet-38 says whether a slice shows the structure, and Grad-CAM where it looked.

A map in [0, 1] becomes logits by `gain * (map - threshold)`: above 0 is what the paper's threshold keeps, and since the
mapping is linear, enlarging the logits and enlarging the map give the same outline. See docs/decisions/resnet38.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.gradcam import METHODS, activation_maps
from sammix_core.guidance.resnet38 import LAYERS, STRUCTURE, ResNet38

NAME = "resnet38"
WEIGHTS_FILE = "resnet38.safetensors"
OTSU = "otsu"
PAPER_THRESHOLD = 0.4


@dataclass(frozen=True)
class CamSettings:
    """How maps are made; kept in a model's manifest.

    Attributes:
        method: "gradcam", "hirescam", "layercam" or "eigencam".
        layer: Stage of the network that is mapped: "layer4" has 8 x 8 cells, "layer3" 16 x 16.
        threshold: Map value above which a cell belongs to the structure, or "otsu" for a threshold by each map.
        gain: Factor from map to logits.
    """

    method: str = "gradcam"
    layer: str = "layer4"
    threshold: float | str = PAPER_THRESHOLD
    gain: float = 10.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain JSON values."""
        return settings_to_dict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> CamSettings:
        """Reads the fields from a manifest or a training configuration.

        Raises:
            InputError: A field or its value is not known to this version.
        """
        settings = settings_from_dict(cls, fields, "The model's map section")
        fixed = isinstance(settings.threshold, int | float) and 0 <= settings.threshold < 1
        is_valid = settings.method in METHODS and settings.layer in LAYERS and (fixed or settings.threshold == OTSU)
        if not is_valid or not isinstance(settings.gain, int | float) or not settings.gain > 0:
            raise InputError(f"The model's map settings {fields} are not ones that this version knows.")
        return settings


def default_boxes() -> BoxSettings:
    """Box settings on the coarse grid: round whole cells, and a fraction of a cell is support enough."""
    # 20 cells of the embedding's 64 x 64 grid are 0.3 of one of these.
    return BoxSettings(whole_cells=True, least_support=0.3, padding=(0.0, 0.0, 0.0, 0.0))


class ResNet38Cam:
    """A trained ResNet-38 as a `Guidance`.

    Attributes:
        name: "resnet38".
        needs_embeddings: False: it looks at the images alone, so slices without a box need no SAM encoder.
        network: The classifier, in eval mode, without gradients.
        settings: How maps are made.
    """

    name = NAME
    needs_embeddings = False

    def __init__(self, network: ResNet38, settings: CamSettings, device: torch.device) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.settings = settings
        self._device = device

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor], settings: CamSettings, device: torch.device) -> ResNet38Cam:
        """Builds it from a model's weights.

        Raises:
            InputError: The weights are not those of a ResNet-38.
        """
        return cls(ResNet38.from_state(state), settings, device)

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """See `Guidance.maps`; the embeddings are not used."""
        return maps_of(self.network, self.settings, images.to(self._device, torch.float32))


def maps_of(network: ResNet38, settings: CamSettings, images: torch.Tensor) -> GuidanceMaps:
    """The maps of a network, which may be in training: nothing of it changes.

    Args:
        network: The classifier.
        settings: How maps are made.
        images: (n, 1, size, size) float32 in [0, 1], on the network's device.
    """
    layer = getattr(network, settings.layer)
    cams, output = activation_maps(network, layer, images, STRUCTURE, settings.method)
    probabilities = torch.softmax(output, 1)[:, STRUCTURE].cpu().numpy()
    thresholds = np.array([threshold_of(cam, settings.threshold) for cam in cams], dtype=np.float32)
    return GuidanceMaps(settings.gain * (cams - thresholds[:, None, None]), probabilities)


def threshold_of(cam: np.ndarray, rule: float | str) -> float:
    """The threshold of one map.

    Args:
        cam: (h, w) float32 in [0, 1].
        rule: A fixed value, or "otsu" for the one that parts this map's values best in two (in steps of 1/255).
    """
    if rule != OTSU:
        return float(rule)
    import cv2  # comes with grad-cam

    steps, _ = cv2.threshold(np.round(cam * 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    # Otsu's value still belongs to the lower part.
    return (float(steps) + 0.5) / 255
