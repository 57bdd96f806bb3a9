"""Measures the ranges of an image encoder's int8 form with NNCF; using them needs OpenVINO alone (`engines.int8`)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sammix_core.engines import int8
from sammix_core.engines.openvino_compiler import openvino
from sammix_core.errors import InputError
from sammix_core.files import atomic_path

_KEPT_IN_BFLOAT16 = ["GroupConvolution", "ScaledDotProductAttention"]


def require_nncf() -> None:
    """Refuses early what would fail after hours.

    Raises:
        InputError: NNCF is not installed.
    """
    if importlib.util.find_spec("nncf") is None:
        raise InputError(
            "The ranges of an int8 encoder are measured by the package nncf, which is not installed: "
            "pip install 'sammix[quantise]'."
        )


def measure_ranges(encoder: nn.Module, images: Sequence[np.ndarray], about: Mapping[str, Any], path: Path) -> Any:
    """Quantises an encoder after training (mixed preset, transformer) and writes what was found.

    Args:
        encoder: The image encoder, on the CPU, in eval mode, LoRA merged in.
        images: (1, 3, size, size) float32 in [0, 1] each; what is measured on.
        about: Where the images come from, for the file's header.
        path: The file to write; its folder is made.

    Returns:
        NNCF's own quantised OpenVINO model, to compare with.

    Raises:
        InputError: NNCF is not installed, or the file cannot be written.
        RuntimeError: NNCF left a product in full precision.
    """
    require_nncf()
    import nncf
    from safetensors.numpy import save_file

    by_nncf = nncf.quantize(
        converted(encoder, images[0].shape),
        nncf.Dataset(list(images)),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(types=_KEPT_IN_BFLOAT16, validate=False),  # an encoder may have none of them
    )
    tensors, shapes = _found(converted(encoder, images[0].shape), by_nncf)
    header = {
        "schema": int8.SCHEMA,
        **about,
        "slices": len(images),
        "nncf": nncf.__version__,
        "openvino": openvino().__version__,
        "shapes": shapes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished:
        save_file(tensors, unfinished, {"about": json.dumps(header)})
    return by_nncf


def converted(encoder: nn.Module, shape: Sequence[int]) -> Any:
    """OpenVINO's float32 model of an encoder.

    Args:
        encoder: As for `measure_ranges`.
        shape: Of its input.
    """
    example = torch.zeros(*shape)
    with torch.no_grad():
        traced = torch.jit.trace(encoder, example, check_trace=False)
    return openvino().convert_model(traced, example_input=(example,), input=[list(shape)])


def _found(plain: Any, quantised: Any) -> tuple[dict[str, np.ndarray], list[list[int]]]:
    """Ranges, factors and corrections of NNCF's model, product by product, and the shapes of the products."""
    tensors: dict[str, np.ndarray] = {}
    shapes = []
    for index, (before, after) in enumerate(zip(int8.products(plain), int8.products(quantised), strict=True)):
        shapes.append(list(before.weights.shape))
        quantiser = after.node.input_value(0).get_node()
        while quantiser.get_type_name() in ("Reshape", "Transpose"):  # one range for all: moving them changes nothing
            quantiser = quantiser.input_value(0).get_node()
        if quantiser.get_type_name() != "FakeQuantize":
            raise RuntimeError(f"{before.node.get_friendly_name()} was not quantised.")
        ends = [_constant(quantiser, place) for place in (1, 2)]
        tensors[f"{index}.range"] = np.array([float(end.reshape(())) for end in ends], np.float32)
        scaled = quantiser.input_value(0).get_node()
        if scaled.get_type_name() == "Multiply":
            factors = int8.constant(scaled.input_value(1).get_node())
            if factors is not None and factors.size == before.weights.shape[1]:
                tensors[f"{index}.factors"] = factors.astype(np.float32)
        if before.bias is not None and after.bias is not None:
            correction = (after.bias - before.bias).astype(np.float32).reshape(-1)
            if np.any(correction):
                tensors[f"{index}.bias"] = correction
    return tensors, shapes


def _constant(node: Any, place: int) -> np.ndarray:
    value = int8.constant(node.input_value(place).get_node())
    if value is None:
        raise RuntimeError(f"{node.get_friendly_name()} has a range that is no constant.")
    return value
