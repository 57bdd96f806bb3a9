"""The interface that every Segment Anything backend offers."""

from __future__ import annotations

from typing import Protocol

import torch

# SAM's prompt encoder adds 0.5 to take a box's corners for pixel centres; ours are edges already.
EDGE_TO_CENTRE = 0.5


class SamBackend(Protocol):
    """Image -> embedding -> masks. All tensors are float32, NCHW, in the network's pixel frame.

    Attributes:
        name: The network's.
        device: Where it computes.
        image_size: Side of its images in pixels.
    """

    name: str
    device: torch.device
    image_size: int

    @property
    def batch(self) -> int:
        """Slices that `encode` takes best in one call."""
        ...

    @property
    def concurrency(self) -> int:
        """Slices that are best worked on at the same time, each from a thread of its own (`in_threads`)."""
        ...

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes windowed slices.

        Args:
            images: (n, 1, image_size, image_size) in [0, 1].

        Returns:
            (n, channels, h, w) embeddings on the backend's device.
        """
        ...

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turns prompts into masks.

        Args:
            embeddings: (n, channels, h, w).
            boxes: (n, 4) XYXY in network pixels, edges (half-open).
            mask_logits: (n, 1, 4h, 4w) dense mask prompt as logits, or None.

        Returns:
            Mask logits (n, 3, 4h, 4w) and predicted IoU scores (n, 3).
        """
        ...
