"""The interface of a guidance: what turns slices into class activation maps and probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch


@dataclass(frozen=True)
class GuidanceMaps:
    """The maps of some slices, in canonical axial order and the network's pixel frame.

    Attributes:
        cam_logits: (n, h, w) float32, on the guidance's grid over the network image; above 0 means the structure.
        probabilities: (n,) float32 in [0, 1], that the slice shows the structure.
    """

    cam_logits: np.ndarray
    probabilities: np.ndarray


class Guidance(Protocol):
    """Image or embedding -> class activation map and slice probability.

    A guidance that uses the image alone (ResNet with Grad-CAM) ignores the embeddings, and the other way round; both
    exist anyway, since segmentation needs them.
    """

    name: str
    needs_embeddings: bool  # where it does not, only slices with a box go through the SAM encoder

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """Computes the maps of a batch.

        Args:
            images: (n, 1, size, size) float32 in [0, 1].
            embeddings: (n, channels, h, w) float32 on the guidance's device.
        """
        ...
