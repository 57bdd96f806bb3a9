"""The image encoder on an NVIDIA GPU: channels last, optional bfloat16, batches that shrink when memory is short.

Written for a GPU and tested by `pytest -m cuda`; not measured yet (docs/performance.md).
"""

from __future__ import annotations

import copy
import logging

import torch
from torch import nn

from sammix_core.engines.openvino_compiler import BFLOAT16, FLOAT32

_log = logging.getLogger(__name__)

_FIRST_BATCH = 32


class CudaEngine:
    """Encodes batches on the GPU, and on the CPU as a last resort.

    Args:
        encoder: The image encoder, on `device`, in eval mode. Its convolutions are laid out for the GPU, in place.
        device: The GPU.
        precision: "float32" or "bfloat16".
        compiled: Whether torch.compile with CUDA graphs is used. It pays after some hundred slices, so that it is for
            runs over many volumes.

    Attributes:
        name: "cuda".
        precision: "float32" or "bfloat16".
        batch: Slices at once that the memory has sufficed for.
        notes: Plain sentences on what went wrong and was handled.
    """

    name = "cuda"
    concurrency = 1

    def __init__(
        self, encoder: nn.Module, device: torch.device, precision: str = FLOAT32, compiled: bool = False
    ) -> None:
        self.precision = precision
        self.batch = _FIRST_BATCH
        self.notes: list[str] = []
        self._encoder = encoder
        self._device = device
        laid_out = encoder.to(memory_format=torch.channels_last)
        self._run = torch.compile(laid_out, mode="reduce-overhead") if compiled else laid_out
        self._padded = compiled  # a graph has one shape, so that the last batch is filled up
        self._on_cpu: nn.Module | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch of any size; (n, 3, h, w) float32 on the GPU or the CPU -> float32 on the GPU."""
        embeddings: list[torch.Tensor] = []
        done = 0
        while done < len(images):
            part = images[done : done + self.batch]
            try:
                embeddings.append(self._part(part))
                done += len(part)
            except torch.cuda.OutOfMemoryError:
                self._shrink_batch()
        return torch.cat(embeddings)

    def _part(self, images: torch.Tensor) -> torch.Tensor:
        if self._on_cpu is not None:
            return self._on_cpu(images.cpu().float()).to(self._device)
        count = len(images)
        if self._padded and count < self.batch:
            images = torch.cat([images, images[-1:].expand(self.batch - count, -1, -1, -1)])
        if images.device.type == "cpu" and self._device.type == "cuda":
            # Pinned, so that the copy overlaps with what still runs.
            images = images.pin_memory().to(self._device, non_blocking=True)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.precision == BFLOAT16):
            embeddings = self._run(images.contiguous(memory_format=torch.channels_last))
        return embeddings[:count].float().contiguous()

    def _shrink_batch(self) -> None:
        torch.cuda.empty_cache()
        if self.batch > 1:
            self.batch //= 2
            _log.info("The GPU's memory is short: encoding %d slices at a time.", self.batch)
            return
        self._on_cpu = copy.deepcopy(self._encoder).cpu().float()
        self.notes.append("The GPU's memory does not suffice for one slice, so slices were encoded on the CPU.")
        _log.warning(self.notes[-1])
