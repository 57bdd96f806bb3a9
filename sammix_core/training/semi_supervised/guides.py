"""The two guidances while they learn: what is optimised, and what they show at this moment."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sammix_core.guidance import resnet38_cam
from sammix_core.guidance.base import Guidance, GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import NAME as EMBEDDING_CAM
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.guidance.resnet38 import STRUCTURE, ResNet38
from sammix_core.guidance.resnet38_cam import CamSettings, ResNet38Cam
from sammix_core.training.semi_supervised.settings import SamMixTraining

DROPPED_CHANNELS = 0.15


class EmbeddingGuide(nn.Module):
    """The embedding CAM: its map learns from masks too.

    Attributes:
        name: Name of the guidance.
        focal: Whether its classification loss is focal.
        boxes: How boxes are made of its maps.
    """

    name = EMBEDDING_CAM
    focal = False

    def __init__(self) -> None:
        super().__init__()
        self.head = EmbeddingHead()
        self.boxes = BoxSettings()

    def forward(
        self, images: torch.Tensor, embeddings: torch.Tensor, kept: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Map logits (n, 1, h, w), or None for a map that masks do not teach, and slice logits (n,).

        Args:
            images: (n, 1, size, size).
            embeddings: (n, channels, h, w).
            kept: (n, channels) bool; the other channels are dropped, so that the head leans on no single one.
        """
        logits, slice_logits = self.head(embeddings * (kept / (1 - DROPPED_CHANNELS))[..., None, None])
        return logits, slice_logits

    @torch.no_grad()
    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """What it shows now; see `Guidance.maps`."""
        logits, slice_logits = self.head(embeddings)
        return GuidanceMaps(logits[:, 0].cpu().numpy(), torch.sigmoid(slice_logits).cpu().numpy())

    def finished(self, device: torch.device) -> Guidance:
        """The guidance that it has become."""
        return EmbeddingCam(self.head, device)

    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"name": self.name, "boxes": self.boxes.to_dict()}


class ResNetGuide(nn.Module):
    """The paper's: ResNet-38 learns from image-level labels alone, and Grad-CAM's map is detached.

    Attributes:
        name, focal, boxes: As of `EmbeddingGuide`.
    """

    name = resnet38_cam.NAME
    focal = True

    def __init__(self, width: float) -> None:
        super().__init__()
        self.network = ResNet38(width)
        self.cam = CamSettings()
        self.boxes = resnet38_cam.default_boxes()

    def forward(
        self, images: torch.Tensor, embeddings: torch.Tensor, kept: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """See `EmbeddingGuide.forward`; only the images are used."""
        output = self.network(images)
        # The softmax over two classes is the sigmoid of their difference.
        return None, output[:, STRUCTURE] - output[:, 1 - STRUCTURE]

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """What it shows now; see `Guidance.maps`."""
        return resnet38_cam.maps_of(self.network, self.cam, images)

    def finished(self, device: torch.device) -> Guidance:
        """The guidance that it has become."""
        return ResNet38Cam(self.network, self.cam, device)

    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        section = {"cam": self.cam.to_dict(), "boxes": self.boxes.to_dict()}
        return {"name": self.name, "boxes": self.boxes.to_dict(), resnet38_cam.NAME: section}


Guide = EmbeddingGuide | ResNetGuide


def make_guide(settings: SamMixTraining) -> Guide:
    """The guide that the settings name, untrained."""
    return EmbeddingGuide() if settings.guidance == EMBEDDING_CAM else ResNetGuide(settings.width)
