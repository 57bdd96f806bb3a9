"""How the image encoder runs: torch on any device, or OpenVINO on a CPU where it is installed.

OpenVINO in float32 takes half of eager torch's time on two cores and agrees with it to about 1e-4, which a test holds.
bfloat16 halves that again where the processor has it, int8 takes a fifth less still; docs/performance.md has what each
gives and costs.
"""

from __future__ import annotations

import importlib.util
from typing import Protocol

import numpy as np
import torch
from torch import nn

from sammix_core.errors import InputError
from sammix_core.sam.compiling import BFLOAT16, FLOAT32, INT8, PRECISIONS, compile_module

ENGINES = ("auto", "torch", "openvino")


class EncoderEngine(Protocol):
    """Runs the encoder: (n, 3, h, w) float32 -> (n, channels, h', w') float32 on the same device.

    Attributes:
        name: "torch", "openvino" or "cuda".
        precision: "float32", "bfloat16" or "int8".
    """

    name: str
    precision: str

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch."""
        ...


class TorchEngine:
    """The encoder as it is."""

    name = "torch"
    precision = FLOAT32

    def __init__(self, encoder: nn.Module) -> None:
        self._encoder = encoder

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch in torch."""
        return self._encoder(images)


class OpenVinoEngine:
    """The encoder compiled by OpenVINO for the CPU, one slice at a time (batches gain nothing on two cores)."""

    name = "openvino"

    def __init__(self, encoder: nn.Module, image_size: int, precision: str = FLOAT32) -> None:
        self.precision = precision
        shape = [1, 3, image_size, image_size]
        change, key = None, ""
        if precision == INT8:
            from sammix_core.sam import int8

            change, key = int8.quantised, int8.recipe_key()
        self._compiled = compile_module(encoder, [torch.zeros(shape)], [shape], precision, change, key)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch, slice by slice."""
        outputs = [self._compiled(one[None])[0].copy() for one in images.contiguous().numpy()]
        return torch.from_numpy(np.concatenate(outputs))


def make_engine(
    encoder: nn.Module,
    device: torch.device,
    name: str = "auto",
    image_size: int = 256,
    precision: str = FLOAT32,
) -> EncoderEngine:
    """Chooses the engine.

    Args:
        encoder: The image encoder, already on `device`, in eval mode.
        device: Where it runs.
        name: "torch", "openvino", or "auto" (OpenVINO on a CPU where it is installed and runs).
        image_size: Side of the encoder's images in pixels.
        precision: "float32", "bfloat16" or "int8"; torch on a CPU takes float32 whatever is asked for.

    Raises:
        InputError: An engine or precision that is not known, or OpenVINO asked for where it cannot run.
    """
    if name not in ENGINES:
        raise InputError(f"There is no encoder engine {name!r}; choose one of {', '.join(ENGINES)}.")
    if precision not in PRECISIONS:
        raise InputError(f"There is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    available = openvino_available(device)
    if name == "openvino" and not available:
        raise InputError("OpenVINO is not installed, or the device is not the CPU; use the engine 'torch'.")
    if available and name != "torch":
        try:
            return OpenVinoEngine(encoder, image_size, precision)
        except (ImportError, OSError, RuntimeError) as error:
            # An old processor, or libraries that do not fit: torch is slower, but works.
            if name == "openvino":
                raise InputError("OpenVINO does not run here; use the engine 'torch'.") from error
    if device.type == "cuda" and precision != FLOAT32:
        from sammix_core.sam.cuda_engine import CudaEngine

        return CudaEngine(encoder, device)
    return TorchEngine(encoder)


def openvino_available(device: torch.device) -> bool:
    """Whether OpenVINO may be tried: on a CPU, where it is installed."""
    return device.type == "cpu" and importlib.util.find_spec("openvino") is not None


__all__ = [
    "BFLOAT16",
    "ENGINES",
    "FLOAT32",
    "INT8",
    "PRECISIONS",
    "EncoderEngine",
    "OpenVinoEngine",
    "TorchEngine",
    "make_engine",
    "openvino_available",
]
