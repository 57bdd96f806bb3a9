"""Embeddings of a volume's slices: computed on request, cached in float16 within a limit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Protocol

import numpy as np
import torch

from sammix_core.embeddings.disk_store import EmbeddingStore
from sammix_core.engines.threads import SharedWork, in_threads

_READY = 4  # slices, 4 MB each: a box is edited many times in a row


class ImageEncoder(Protocol):
    """Encodes slices; every SAM backend does.

    Attributes:
        device: Where it computes.
    """

    device: torch.device

    @property
    def batch(self) -> int:
        """How many slices it encodes best in one call."""
        ...

    @property
    def concurrency(self) -> int:
        """How many slices it encodes best at the same time, each from a thread of its own."""
        ...

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes (n, 1, size, size) float32 in [0, 1] to (n, channels, h, w) float32."""
        ...


class EmbeddingCache:
    """Embeddings by canonical slice.

    Threads may request embeddings at the same time; a slice is encoded by one of them. All embeddings are rounded to
    float16, cached or not, so that a mask does not depend on the cache.

    Args:
        backend: Encodes.
        image_of: Gives (size, size) float32 in [0, 1] of a canonical slice.
        limit_bytes: Memory that they may take.
        store: Where they are stored on disk as well, or None.

    Attributes:
        encoded: How many times a slice was encoded.
    """

    def __init__(
        self,
        backend: ImageEncoder,
        image_of: Callable[[int], np.ndarray],
        limit_bytes: int,
        store: EmbeddingStore | None = None,
    ) -> None:
        self.encoded = 0
        self._store = store
        self._backend = backend
        self._image_of = image_of
        self._limit_bytes = limit_bytes
        self._cached: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._ready: OrderedDict[int, torch.Tensor] = OrderedDict()  # of those cached, in float32
        self._bytes = 0
        self._lock = threading.RLock()  # guards the cache and the counters
        self._encoding: SharedWork[torch.Tensor] = SharedWork()

    @property
    def nbytes(self) -> int:
        """Bytes of the cached embeddings."""
        return self._bytes

    def __contains__(self, index: int) -> bool:
        """Whether a slice's embedding is cached."""
        return index in self._cached

    def image(self, index: int) -> torch.Tensor:
        """(1, 1, size, size) float32 in [0, 1], the encoder's input of a slice."""
        return torch.from_numpy(self._image_of(index))[None, None]

    def embedding(self, index: int, image: torch.Tensor | None = None) -> torch.Tensor:
        """(1, c, h, w) float32 on the backend's device; the tensor is shared, so do not write to it.

        Args:
            index: Canonical slice.
            image: The result of `image(index)`, where the caller has it already.
        """
        with self._lock:
            cached, ready = self._cached.get(index), self._ready.get(index)
            if cached is not None:
                self._cached.move_to_end(index)
                if ready is not None:
                    return ready
        if cached is None:
            cached = self._encoding.begin(index, lambda: self._encode_now(index, image)).result()
        if self._backend.device.type == "cpu":
            # numpy does this in a quarter of torch's time, and on this thread alone.
            ready = torch.from_numpy(cached.numpy().astype(np.float32))
        else:
            ready = cached.to(self._backend.device, torch.float32)
        with self._lock:
            if self._cached.get(index) is cached:
                self._ready[index] = ready
                while len(self._ready) > _READY:
                    self._ready.popitem(last=False)
        return ready

    def ahead(self, indices: Iterable[int]) -> Generator[None]:
        """Encodes slices that are not cached, as many at once as suit the backend; yields after each.

        Args:
            indices: Canonical slices; no more than fit into the limit.
        """
        missing = [index for index in dict.fromkeys(indices) if index not in self._cached]
        if self._backend.concurrency > 1:
            with closing(in_threads(self.embedding, missing, self._backend.concurrency)) as embeddings:
                for _ in embeddings:
                    yield
            return
        for start in range(0, len(missing), self._backend.batch):
            batch = missing[start : start + self._backend.batch]
            for index, embedding in zip(batch, self._encode([self.image(index) for index in batch]), strict=True):
                self.keep(index, embedding)
            yield from (None for _ in batch)

    def _encode_now(self, index: int, image: torch.Tensor | None) -> torch.Tensor:
        (embedding,) = self._encode([self.image(index) if image is None else image])
        self.keep(index, embedding)
        return embedding

    def _encode(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        """(1, c, h, w) float16 each, from the disk where they are stored there, the others from the encoder."""
        embeddings = [None if self._store is None else self._store.get(image) for image in images]
        missing = [number for number, embedding in enumerate(embeddings) if embedding is None]
        if missing:
            encoded = self._backend.encode(torch.cat([images[number] for number in missing])).to(torch.float16).cpu()
            with self._lock:
                self.encoded += len(missing)
            for number, embedding in zip(missing, encoded.split(1), strict=True):
                embeddings[number] = embedding.clone()  # so that dropping it frees its memory
                if self._store is not None:
                    self._store.put(images[number], embedding)
        return [embedding for embedding in embeddings if embedding is not None]

    def keep(self, index: int, embedding: torch.Tensor) -> None:
        """Caches an embedding (1, c, h, w) float16, and drops the longest unused ones past the limit."""
        with self._lock:
            self.drop(index)
            self._cached[index] = embedding
            self._bytes += embedding.nbytes
            while self._bytes > self._limit_bytes and len(self._cached) > 1:
                dropped, oldest = self._cached.popitem(last=False)
                self._ready.pop(dropped, None)
                self._bytes -= oldest.nbytes

    def drop(self, index: int) -> None:
        """Forgets a slice's embedding."""
        with self._lock:
            old = self._cached.pop(index, None)
            self._ready.pop(index, None)
            if old is not None:
                self._bytes -= old.nbytes

    def clear(self) -> None:
        """Forgets all embeddings."""
        with self._lock:
            self._cached.clear()
            self._ready.clear()
            self._bytes = 0
