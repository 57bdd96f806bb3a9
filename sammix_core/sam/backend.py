"""The interface that every Segment Anything backend offers.

A new backend is one file beside this one and one registration in `sammix_core.sam.registry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from sammix_core.embeddings.memory_cache import ImageEncoder
from sammix_core.engines.cache_folder import key_of
from sammix_core.engines.encoder_engine import EncoderEngine


class PromptDecoder(Protocol):
    """Embedding and prompts -> masks. All tensors are float32, NCHW, in the network's pixel frame.

    Attributes:
        device: Where it computes.
        image_size: Side of the network's images in pixels.
    """

    device: torch.device
    image_size: int

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


class SamBackend(ImageEncoder, PromptDecoder, Protocol):
    """Image -> embedding -> masks: all that the rest of the package needs of a network.

    `encode` takes (n, 1, image_size, image_size) in [0, 1]. `batch` is how many slices it takes best in one call,
    `concurrency` how many calls are best made at the same time, each from a thread of its own (`in_threads`).

    Attributes:
        name: The network's.
    """

    name: str

    @property
    def engine_name(self) -> str:
        """What runs the encoder: "torch", "openvino" or "cuda"."""
        ...

    @property
    def precision(self) -> str:
        """The encoder's precision: "float32", "bfloat16" or "int8"."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Plain sentences on what went wrong in the encoder and was handled, such as a GPU without memory."""
        ...

    def encoder_key(self) -> str:
        """Identifies the encoder's weights and how it computes; embeddings with another key are other embeddings."""
        ...


class EngineBackend:
    """Base of backends whose encoder an `EncoderEngine` runs.

    Attributes:
        name: The network's.
        engine: Runs the encoder.
        network: The module, with an `image_encoder`.
    """

    name: str
    engine: EncoderEngine
    network: Any

    @property
    def batch(self) -> int:
        """See `SamBackend`."""
        return self.engine.batch

    @property
    def concurrency(self) -> int:
        """See `SamBackend`."""
        return self.engine.concurrency

    @property
    def engine_name(self) -> str:
        """See `SamBackend.engine_name`."""
        return self.engine.name

    @property
    def precision(self) -> str:
        """See `SamBackend.precision`."""
        return self.engine.precision

    @property
    def notes(self) -> Sequence[str]:
        """See `SamBackend.notes`."""
        return self.engine.notes

    def encoder_key(self) -> str:
        """See `SamBackend.encoder_key`."""
        tensors = [(name, tensor.cpu()) for name, tensor in sorted(self.network.image_encoder.state_dict().items())]
        weights = [part for name, tensor in tensors for part in (name, tensor.contiguous().numpy().tobytes())]
        return key_of([self.name, self.engine.name, self.engine.precision, *weights])


class WrappedBackend:
    """A backend that passes everything on to another one; base of those that change a part of it.

    Args:
        backend: The wrapped backend.

    Attributes:
        backend: The wrapped backend.
    """

    def __init__(self, backend: SamBackend) -> None:
        self.backend = backend
        self.name = backend.name
        self.device = backend.device
        self.image_size = backend.image_size

    @property
    def batch(self) -> int:
        """See `SamBackend`."""
        return self.backend.batch

    @property
    def concurrency(self) -> int:
        """See `SamBackend`."""
        return self.backend.concurrency

    @property
    def engine_name(self) -> str:
        """See `SamBackend.engine_name`."""
        return self.backend.engine_name

    @property
    def precision(self) -> str:
        """See `SamBackend.precision`."""
        return self.backend.precision

    @property
    def notes(self) -> Sequence[str]:
        """See `SamBackend.notes`."""
        return self.backend.notes

    def encoder_key(self) -> str:
        """See `SamBackend.encoder_key`."""
        return self.backend.encoder_key()

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `SamBackend`."""
        return self.backend.encode(images)

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `PromptDecoder.decode`."""
        return self.backend.decode(embeddings, boxes, mask_logits)
