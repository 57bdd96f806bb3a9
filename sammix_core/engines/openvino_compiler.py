"""Compiles networks with OpenVINO for the CPU, and caches them on disk, so that the next start is quick."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from sammix_core.engines.cache_folder import COMPILED, CacheFolder, key_of
from sammix_core.version import __version__

_log = logging.getLogger(__name__)

FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"
DEFAULT = "default"  # what is quickest on this processor and has passed benchmarks/speed_gate.py
PRECISIONS = (DEFAULT, FLOAT32, BFLOAT16, INT8)

_making_core = threading.Lock()


def openvino() -> Any:
    """Imports the package without its telemetry.

    As soon as it is imported, OpenVINO would report its use over the network. Without its telemetry package it uses a
    stub of its own that sends nothing.

    Raises:
        ImportError: It is not installed, or does not run here.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def openvino_core() -> Any:
    """OpenVINO's one `Core` of this process; from any thread.

    Its CPU plugin gives the thread that loads it a larger stack for signals, and restores the previous stack when it is
    unloaded. With several cores loaded and unloaded, that stack may have been freed, and the next Ctrl-C would end the
    process.

    Raises:
        ImportError, OSError, RuntimeError: OpenVINO does not run here.
    """
    with _making_core:
        return _core()


@cache
def _core() -> Any:
    ov = openvino()
    core = ov.Core()
    # OpenVINO's Python part initialises its use of numpy at the first inference. When two threads make their first
    # inference at the same time, they deadlock on it and the interpreter's lock; it happened once in some hundred runs.
    # So the first inference is made here, by one thread, with a network of one number.
    number = ov.opset13.parameter([1], np.float32)
    model = ov.Model([ov.opset13.relu(number)], [number])
    request = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1}).create_infer_request()
    for output in request.infer({0: np.zeros(1, np.float32)}, share_inputs=True, share_outputs=True).values():
        np.array(output)
    return core


def default_precision() -> str:
    """The default precision of an encoder that OpenVINO runs.

    Processors with bfloat16 all multiply int8 without overflow (VNNI). Older ones add two products in 16 bits, where
    large values are cut off, and gain little; they keep float32.

    Raises:
        ImportError, OSError, RuntimeError: OpenVINO does not run here.
    """
    capabilities = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return INT8 if "BF16" in capabilities and "INT8" in capabilities else FLOAT32


def precision_beside(encoder_precision: str) -> str:
    """The precision of the decoder beside an encoder: float32 with one in float32, else bfloat16."""
    return FLOAT32 if encoder_precision == FLOAT32 else BFLOAT16


def compile_module(
    module: nn.Module,
    examples: Sequence[torch.Tensor],
    shapes: Sequence[Sequence[int]],
    precision: str = FLOAT32,
    change: Callable[[Any], Any] | None = None,
    change_key: str = "",
    streams: int = 1,
    cache: CacheFolder | None = None,
) -> Any:
    """Compiles a module, or loads it from the cache.

    Args:
        module: In eval mode, on the CPU.
        examples: Inputs to trace it with.
        shapes: Shapes of its inputs; -1 for a size that may vary.
        precision: "float32", "bfloat16" or "int8".
        change: Applied to OpenVINO's model before it is compiled.
        change_key: Identifies the change.
        streams: How many inputs it computes at the same time; they share the threads.
        cache: Where compiled networks are cached; None for the user's cache.

    Returns:
        OpenVINO's compiled model.

    Raises:
        ImportError, OSError, RuntimeError: OpenVINO does not run here.
    """
    ov = openvino()
    core = openvino_core()
    folder = CacheFolder.of(COMPILED) if cache is None else cache
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    # Set explicitly: on some processors the default is bfloat16, and masks would differ. Between int8 layers there is
    # bfloat16 too; a processor without it would only emulate it.
    hint = "bf16" if precision != FLOAT32 and "BF16" in capabilities else "f32"
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    processor = core.get_property("CPU", "FULL_DEVICE_NAME"), *capabilities
    about = (__version__, ov.__version__, torch.__version__, *processor, precision, change_key)
    key = key_of((*about, str(streams), str(list(shapes)), type(module).__qualname__, *_weights_of(module)))
    cached = folder.get(key)
    if cached is not None:
        try:
            return core.import_model(io.BytesIO(cached), "CPU", options)
        except RuntimeError as error:  # of another build of the same version
            _log.info("A network in the cache cannot be loaded (%s), so it is compiled again.", error)
            folder.drop(key)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing is deprecated in torch, but what OpenVINO takes
        # The check would run the network several times more; tests compare the engines instead.
        traced = torch.jit.trace(module, tuple(examples), check_trace=False)
        model = ov.convert_model(traced, example_input=tuple(examples), input=[list(shape) for shape in shapes])
    if change is not None:
        model = change(model)
    compiled = core.compile_model(model, "CPU", options)
    stream = io.BytesIO()
    compiled.export_model(stream)
    folder.put(key, stream.getvalue())
    return compiled


def _weights_of(module: nn.Module) -> list[bytes]:
    """Names, shapes and bytes of all tensors, for the key."""
    parts = []
    for name, tensor in sorted({**dict(module.named_parameters()), **dict(module.named_buffers())}.items()):
        parts += [f"{name}{tuple(tensor.shape)}".encode(), tensor.detach().contiguous().numpy().tobytes()]
    return parts
