"""How the image encoder runs: torch on any device, or OpenVINO on a CPU where it is installed.

OpenVINO in float32 takes half of eager torch's time on two cores and agrees with it to about 1e-4, which a test holds.
bfloat16 halves that again where the processor has it, int8 takes a fifth less still. Several slices at once are spread
over the cores, one slice a core, which takes a sixth less than one slice on all of them. docs/performance.md has what
each gives and costs.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from sammix_core.engines.compiled_module import CompiledModule
from sammix_core.engines.openvino_compiler import BFLOAT16, DEFAULT, FLOAT32, INT8, PRECISIONS, default_precision
from sammix_core.engines.threads import in_threads, in_worker_thread
from sammix_core.errors import InputError

_log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "openvino")


class EncoderEngine(Protocol):
    """Runs the encoder: (n, 3, h, w) float32 -> (n, channels, h', w') float32 on the same device.

    Attributes:
        name: "torch", "openvino" or "cuda".
        precision: "float32", "bfloat16" or "int8".
        batch: Slices that it takes best in one call.
        concurrency: Calls that it takes best at the same time, each from a thread of its own (`in_threads`).
        notes: Plain sentences on what went wrong and was handled.
    """

    name: str
    precision: str
    batch: int
    concurrency: int

    @property
    def notes(self) -> Sequence[str]:
        """See the attributes."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch."""
        ...


class TorchEngine:
    """The encoder as it is."""

    name = "torch"
    precision = FLOAT32
    batch = 1
    concurrency = 1
    notes: Sequence[str] = ()

    def __init__(self, encoder: nn.Module) -> None:
        self._encoder = encoder

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch in torch."""
        return self._encoder(images)


class OpenVinoEngine:
    """The encoder compiled by OpenVINO for the CPU: a slice alone on all threads, several with one thread each.

    Its output is the same to the bit, alone or with others.
    """

    name = "openvino"
    batch = 1
    notes: Sequence[str] = ()

    def __init__(
        self, encoder: nn.Module, image_size: int, precision: str = FLOAT32, ranges: Path | None = None
    ) -> None:
        self.precision = default_precision() if precision == DEFAULT else precision
        self.concurrency = torch.get_num_threads()
        how: dict[str, Any] = {"precision": self.precision}
        if self.precision == INT8:
            from sammix_core.engines import int8

            how |= {"change": partial(int8.quantised, ranges=ranges), "change_key": int8.recipe_key(ranges)}
        shape = [1, 3, image_size, image_size]
        weights = list(encoder.parameters())
        self._module = CompiledModule(lambda: encoder, weights, [torch.zeros(shape)], [shape], **how)
        self._module.compiled()  # now, so that another engine can be chosen where this one does not run

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch of any size."""
        threads = 1 if len(images) == 1 or in_worker_thread() else self.concurrency
        return torch.from_numpy(np.concatenate(list(in_threads(self._encoded, images, threads))))

    def _encoded(self, image: torch.Tensor) -> np.ndarray:
        return self._module(image[None])[0]


def make_engine(
    encoder: nn.Module,
    device: torch.device,
    name: str = "auto",
    image_size: int = 256,
    precision: str = FLOAT32,
    ranges: Path | None = None,
) -> EncoderEngine:
    """Chooses the engine.

    Args:
        encoder: The image encoder, already on `device`, in eval mode.
        device: Where it runs.
        name: "torch", "openvino", or "auto" (OpenVINO on a CPU where it is installed and runs).
        image_size: Side of the encoder's images in pixels.
        precision: "float32", "bfloat16", "int8", or "default" for what `default_precision` says; torch on a CPU takes
            float32 in any case, and so does a GPU unless bfloat16 is chosen.
        ranges: The int8 ranges of this encoder, or None for those of LiteMedSAM's own.

    Raises:
        InputError: An unknown engine or precision, or OpenVINO where it cannot run.
    """
    if name not in ENGINES:
        raise InputError(f"There is no encoder engine {name!r}; choose one of {', '.join(ENGINES)}.")
    if precision == "usual":  # its name in earlier versions
        precision = DEFAULT
    if precision not in PRECISIONS:
        raise InputError(f"There is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    available = openvino_available(device)
    if name == "openvino" and not available:
        raise InputError("OpenVINO is not installed, or the device is not the CPU; use the engine 'torch'.")
    if available and name != "torch":
        try:
            return OpenVinoEngine(encoder, image_size, precision, ranges)
        except (ImportError, OSError, RuntimeError) as error:
            # An old processor, or libraries that do not fit: torch is slower, but works.
            if name == "openvino":
                raise InputError("OpenVINO does not run here; use the engine 'torch'.") from error
            _log.warning("OpenVINO does not run here, so PyTorch runs the image encoder: %s", error)
    if device.type == "cuda":
        from sammix_core.engines.cuda_engine import CudaEngine

        return CudaEngine(encoder, device, BFLOAT16 if precision == BFLOAT16 else FLOAT32)
    return TorchEngine(encoder)


def openvino_available(device: torch.device) -> bool:
    """Whether OpenVINO may be tried: on a CPU, where it is installed."""
    return device.type == "cpu" and importlib.util.find_spec("openvino") is not None
