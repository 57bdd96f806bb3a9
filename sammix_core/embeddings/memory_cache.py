"""Embeddings of a volume's slices: computed when asked for, kept in float16 within a limit."""

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

    Threads may ask for embeddings at the same time; a slice is encoded by one of them. What leaves the cache has passed
    float16 whether it was just computed or kept, so that a mask does not depend on what was cached.

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
        self._kept: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._ready: OrderedDict[int, torch.Tensor] = OrderedDict()  # of those kept, as they are asked for
        self._bytes = 0
        self._lock = threading.RLock()  # for what is kept and counted
        self._encoding: SharedWork[torch.Tensor] = SharedWork()

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    def image(self, index: int) -> torch.Tensor:
        """(1, 1, size, size) float32 in [0, 1], the encoder's input of a slice."""
        return torch.from_numpy(self._image_of(index))[None, None]

    def embedding(self, index: int, image: torch.Tensor | None = None) -> torch.Tensor:
        """(1, c, h, w) float32 on the backend's device; others may get the same tensor, so that nobody writes into it.

        Args:
            index: Canonical slice.
            image: What `image(index)` gave, where the caller has it already.
        """
        with self._lock:
            kept, ready = self._kept.get(index), self._ready.get(index)
            if kept is not None:
                self._kept.move_to_end(index)
                if ready is not None:
                    return ready
        if kept is None:
            kept = self._encoding.begin(index, lambda: self._kept_now(index, image)).result()
        if self._backend.device.type == "cpu":
            # numpy does this in a quarter of torch's time, and on this thread alone.
            ready = torch.from_numpy(kept.numpy().astype(np.float32))
        else:
            ready = kept.to(self._backend.device, torch.float32)
        with self._lock:
            if self._kept.get(index) is kept:
                self._ready[index] = ready
                while len(self._ready) > _READY:
                    self._ready.popitem(last=False)
        return ready

    def ahead(self, indices: Iterable[int]) -> Generator[None]:
        """Encodes those of some slices that are not kept, as many at once as suit the backend; yields after each.

        Args:
            indices: Canonical slices; no more than fit into the limit.
        """
        wanted = [index for index in dict.fromkeys(indices) if index not in self._kept]
        if self._backend.concurrency > 1:
            with closing(in_threads(self.embedding, wanted, self._backend.concurrency)) as made:
                for _ in made:
                    yield
            return
        for start in range(0, len(wanted), self._backend.batch):
            some = wanted[start : start + self._backend.batch]
            for index, embedding in zip(some, self._made([self.image(index) for index in some]), strict=True):
                self.keep(index, embedding)
            yield from (None for _ in some)

    def _kept_now(self, index: int, image: torch.Tensor | None) -> torch.Tensor:
        (made,) = self._made([self.image(index) if image is None else image])
        self.keep(index, made)
        return made

    def _made(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        """(1, c, h, w) float16 each, from the disk where they are kept there, the others from the encoder."""
        found = [None if self._store is None else self._store.get(image) for image in images]
        missing = [place for place, one in enumerate(found) if one is None]
        if missing:
            encoded = self._backend.encode(torch.cat([images[place] for place in missing])).to(torch.float16).cpu()
            with self._lock:
                self.encoded += len(missing)
            for place, one in zip(missing, encoded.split(1), strict=True):
                found[place] = one.clone()  # of its own, so that dropping it gives its memory back
                if self._store is not None:
                    self._store.put(images[place], one)
        return [one for one in found if one is not None]

    def keep(self, index: int, embedding: torch.Tensor) -> None:
        """Puts an embedding (1, c, h, w) float16 in, and drops the longest unused ones past the limit."""
        with self._lock:
            self.drop(index)
            self._kept[index] = embedding
            self._bytes += embedding.nbytes
            while self._bytes > self._limit_bytes and len(self._kept) > 1:
                place, oldest = self._kept.popitem(last=False)
                self._ready.pop(place, None)
                self._bytes -= oldest.nbytes

    def drop(self, index: int) -> None:
        """Forgets a slice's embedding."""
        with self._lock:
            old = self._kept.pop(index, None)
            self._ready.pop(index, None)
            if old is not None:
                self._bytes -= old.nbytes

    def clear(self) -> None:
        """Forgets all embeddings."""
        with self._lock:
            self._kept.clear()
            self._ready.clear()
            self._bytes = 0
