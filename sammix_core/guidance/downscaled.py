"""Runs a guidance on smaller images than the SAM that makes the masks, with a separate encoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from sammix_core.guidance.base import Guidance, GuidanceMaps


class DownscaledGuidance:
    """A guidance for larger images than those that it was trained on.

    Masks by SAM ViT-B come from 1024 x 1024 pixels, while boxes come from LiteMedSAM's embedding of 256 x 256. So the
    large encoder, many times as slow, sees slices with a box alone.

    Attributes:
        name: That of the guidance.
        needs_embeddings: False: it does not use those of the large encoder.
    """

    needs_embeddings = False

    def __init__(
        self, guidance: Guidance, size: int, encode: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> None:
        self.name = guidance.name
        self._guidance = guidance
        self._size = size
        self._encode = encode

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """See `Guidance.maps`; embeddings are computed here from the smaller images, where needed."""
        small = functional.avg_pool2d(images, images.shape[-1] // self._size)
        if self._encode is not None and self._guidance.needs_embeddings:
            # Through half precision, as a session's embeddings always go.
            embeddings = self._encode(small).to(torch.float16).float()
        return self._guidance.maps(small, embeddings)
