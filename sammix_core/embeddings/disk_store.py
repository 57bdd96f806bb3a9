"""Embeddings on disk, so that the next session of the same CT need not encode it again."""

from __future__ import annotations

import numpy as np
import torch

from sammix_core.engines.cache_folder import EMBEDDINGS, CacheFolder, key_of
from sammix_core.version import __version__

_HEAD_BYTES = 4 * 4  # the four sizes of an embedding


class EmbeddingStore:
    """Embeddings by the encoder's input: the windowed, resized slice itself, so that no file name is stored.

    Args:
        encoder_key: Identifies the encoder and how it computes.
        folder: Where they are stored; None for the user's cache.

    Attributes:
        read: How many embeddings were read from the disk.
    """

    def __init__(self, encoder_key: str, folder: CacheFolder | None = None) -> None:
        self.read = 0
        self._encoder_key = encoder_key
        self._folder = CacheFolder.of(EMBEDDINGS) if folder is None else folder

    def get(self, image: torch.Tensor) -> torch.Tensor | None:
        """The embedding of an image, (1, c, h, w) float16, or None where there is none.

        Args:
            image: (1, 1, size, size) float32, the encoder's input.
        """
        content = self._folder.get(self._key(image))
        if content is None:
            return None
        self.read += 1
        shape = np.frombuffer(content[:_HEAD_BYTES], dtype="<i4")
        values = np.frombuffer(content[_HEAD_BYTES:], dtype="<f2")
        return torch.from_numpy(values.reshape(shape).astype(np.float16))

    def put(self, image: torch.Tensor, embedding: torch.Tensor) -> None:
        """Stores the embedding (1, c, h, w) float16 of an image, where the disk can be written to."""
        shape = np.array(embedding.shape, dtype="<i4").tobytes()
        self._folder.put(self._key(image), shape + embedding.cpu().numpy().astype("<f2").tobytes())

    def _key(self, image: torch.Tensor) -> str:
        array = image.contiguous().numpy()
        return key_of([__version__, self._encoder_key, str(array.shape), array.astype("<f4").tobytes()])
