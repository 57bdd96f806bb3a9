"""How the image encoder runs: torch on any device, or OpenVINO on a CPU where it is installed.

OpenVINO in float32 takes less than half of eager torch's time on two cores and agrees with it to about 1e-4, which a
test holds; decoding stays in torch.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from typing import Protocol

import numpy as np
import torch
from torch import nn

from sammix_core.errors import InputError

ENGINES = ("auto", "torch", "openvino")


class EncoderEngine(Protocol):
    """Runs the encoder: (n, 3, h, w) float32 -> (n, channels, h', w') float32 on the same device."""

    name: str

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch."""
        ...


class TorchEngine:
    """The encoder as it is."""

    name = "torch"

    def __init__(self, encoder: nn.Module) -> None:
        self._encoder = encoder

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch in torch."""
        return self._encoder(images)


class OpenVinoEngine:
    """The encoder compiled by OpenVINO for the CPU, one slice at a time (batches gain nothing on two cores)."""

    name = "openvino"

    def __init__(self, encoder: nn.Module, image_size: int) -> None:
        # As soon as it is imported, OpenVINO would report its use over the network. Without its reporter it uses a
        # stand-in of its own that sends nothing.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        example = torch.zeros(1, 3, image_size, image_size)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing is deprecated in torch, but what OpenVINO takes
            # The check would run the encoder several times more; a test compares the engines instead.
            traced = torch.jit.trace(encoder, example, check_trace=False)
            model = openvino.convert_model(traced, example_input=example, input=[1, 3, image_size, image_size])
        # float32 is asked for by name: on some processors the default is bfloat16, and masks would differ.
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = openvino.Core().compile_model(model, "CPU", options)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes a batch, slice by slice."""
        outputs = [self._compiled(one[None])[0].copy() for one in images.contiguous().numpy()]
        return torch.from_numpy(np.concatenate(outputs))


def make_engine(encoder: nn.Module, device: torch.device, name: str = "auto", image_size: int = 256) -> EncoderEngine:
    """Chooses the engine.

    Args:
        encoder: The image encoder, already on `device`, in eval mode.
        device: Where it runs.
        name: "torch", "openvino", or "auto" (OpenVINO on a CPU where it is installed and runs).
        image_size: Side of the encoder's images in pixels.

    Raises:
        InputError: An engine that is not known, or OpenVINO asked for where it cannot run.
    """
    if name not in ENGINES:
        raise InputError(f"There is no encoder engine {name!r}; choose one of {', '.join(ENGINES)}.")
    available = device.type == "cpu" and importlib.util.find_spec("openvino") is not None
    if name == "openvino" and not available:
        raise InputError("OpenVINO is not installed, or the device is not the CPU; use the engine 'torch'.")
    if available and name != "torch":
        try:
            return OpenVinoEngine(encoder, image_size)
        except (ImportError, OSError, RuntimeError) as error:
            # An old processor, or libraries that do not fit: torch is slower, but works.
            if name == "openvino":
                raise InputError("OpenVINO does not run here; use the engine 'torch'.") from error
    return TorchEngine(encoder)
