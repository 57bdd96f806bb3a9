"""Embeddings of a volume's slices: computed when asked for, kept in float16 within a limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch

from sammix_core.embedding_store import EmbeddingStore
from sammix_core.sam.backend import SamBackend


class EmbeddingCache:
    """Embeddings by canonical slice.

    What leaves the cache has passed float16 whether it was just computed or kept, so that a mask does not depend on
    what was cached.

    Args:
        backend: Encodes.
        image_of: Gives (size, size) float32 in [0, 1] of a canonical slice.
        limit_bytes: What they may take in memory.
        store: Where they are kept on disk as well, or None.

    Attributes:
        encoded: How many times a slice was encoded.
    """

    def __init__(
        self,
        backend: SamBackend,
        image_of: Callable[[int], np.ndarray],
        limit_bytes: int,
        store: EmbeddingStore | None = None,
    ) -> None:
        self.encoded = 0
        self._store = store
        self._backend = backend
        self._image_of = image_of
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    def image(self, index: int) -> torch.Tensor:
        """(1, 1, size, size) float32 in [0, 1], the encoder's input of a slice."""
        return torch.from_numpy(self._image_of(index))[None, None]

    def embedding(self, index: int, image: torch.Tensor | None = None) -> torch.Tensor:
        """(1, c, h, w) float32 on the backend's device.

        Args:
            index: Canonical slice.
            image: What `image(index)` gave, where the caller has it already.
        """
        kept = self._kept.get(index)
        if kept is None:
            kept = self._made(self.image(index) if image is None else image)
            self.keep(index, kept)
        else:
            self._kept.move_to_end(index)
        return kept.to(self._backend.device, torch.float32)

    def _made(self, image: torch.Tensor) -> torch.Tensor:
        """(1, c, h, w) float16 from the disk, where it is kept there, or from the encoder."""
        found = None if self._store is None else self._store.get(image)
        if found is None:
            found = self._backend.encode(image).to(torch.float16).cpu()
            self.encoded += 1
            if self._store is not None:
                self._store.put(image, found)
        return found

    def keep(self, index: int, embedding: torch.Tensor) -> None:
        """Puts an embedding (1, c, h, w) float16 in, and drops the longest unused ones past the limit."""
        self.drop(index)
        self._kept[index] = embedding
        self._bytes += embedding.nbytes
        while self._bytes > self._limit_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.nbytes

    def drop(self, index: int) -> None:
        """Forgets a slice's embedding."""
        old = self._kept.pop(index, None)
        if old is not None:
            self._bytes -= old.nbytes

    def clear(self) -> None:
        """Forgets all embeddings."""
        self._kept.clear()
        self._bytes = 0
