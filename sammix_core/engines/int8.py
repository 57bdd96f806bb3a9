"""The image encoder in int8: ranges measured once are set in OpenVINO's model, without NNCF.

NNCF's post-training quantisation finds three things for each matrix product and convolution: the range of what goes
in, factors that move outliers of the activations into the weights (SmoothQuant), and a correction of the bias. They are
kept in `encoder_int8.safetensors` (benchmarks/quantise_encoder.py makes it); int8 weights follow from the encoder.
The file here is that of LiteMedSAM's encoder; a model whose encoder is another one can carry its own under that name.
Depthwise convolutions and attention stay in bfloat16: in int8 they are no faster, and much of the error was theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.engines.openvino_compiler import openvino

RANGES_FILE = "encoder_int8.safetensors"
RECIPE = Path(__file__).with_name(RANGES_FILE)
SCHEMA = "sammix-int8/1"
_ACTIVATION_LEVELS = 256
_WEIGHT_LEVELS = 255  # symmetric: -127 to 127
_PRODUCTS = {"MatMul": 1, "Convolution": 1}  # type of operation: the input that holds its weights


@dataclass(frozen=True)
class Product:
    """A matrix product or convolution with constant weights.

    Attributes:
        node: OpenVINO's operation.
        weights: Its weights, the first axis that of its outputs.
        bias: The constant that is added to what it gives, or None.
        bias_of: (operation that adds it, which of its inputs it is), or None.
    """

    node: Any
    weights: np.ndarray
    bias: np.ndarray | None
    bias_of: tuple[Any, int] | None


def products(model: Any) -> Iterator[Product]:
    """Matrix products and convolutions of an encoder, in the order in which they are computed."""
    for node in model.get_ordered_ops():
        weights_input = _PRODUCTS.get(node.get_type_name())
        if weights_input is None:
            continue
        weights = constant(node.input_value(weights_input).get_node())
        if weights is None:  # attention: both sides are computed
            continue
        if node.get_type_name() == "MatMul" and not node.get_attributes()["transpose_b"]:
            weights = weights.T
        yield Product(node, weights, *_bias(node))


def constant(node: Any) -> np.ndarray | None:
    """The value of a constant, also of one that NNCF holds in int8 with a factor; None for what is computed."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.array(node.data)
    if kind == "Convert":
        inner = constant(node.input_value(0).get_node())
        return None if inner is None else inner.astype(np.float32)
    if kind in ("Multiply", "Subtract"):
        left, right = (constant(node.input_value(index).get_node()) for index in (0, 1))
        if left is None or right is None:
            return None
        return left * right if kind == "Multiply" else left - right
    return None


def recipe_key(ranges: Path | None = None) -> str:
    """Identifies the ranges; "" where the file is missing.

    Args:
        ranges: The file, or None for that of LiteMedSAM's own encoder.
    """
    from sammix_core.files import sha256_of

    file = RECIPE if ranges is None else ranges
    return sha256_of(file) if file.is_file() else ""


def quantised(model: Any, ranges: Path | None = None) -> Any:
    """Sets the ranges in an encoder's model, in place.

    Args:
        model: OpenVINO's float32 model of LiteMedSAM's image encoder, or of one with LoRA merged in.
        ranges: The file, or None for that of LiteMedSAM's own encoder.

    Returns:
        The model.

    Raises:
        RuntimeError: The ranges are missing, or those of another encoder; nothing was changed.
    """
    from safetensors import safe_open

    path = RECIPE if ranges is None else ranges
    if not path.is_file():
        raise RuntimeError("The ranges for int8 are missing.")
    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["about"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    encoder_products = list(products(model))
    shapes = [list(product.weights.shape) for product in encoder_products]
    if about["schema"] != SCHEMA or shapes != about["shapes"]:
        raise RuntimeError("The ranges for int8 are those of another encoder.")
    for index, product in enumerate(encoder_products):
        _quantise(product, tensors, index)
    model.validate_nodes_and_infer_types()
    return model


def _bias(node: Any) -> tuple[np.ndarray | None, tuple[Any, int] | None]:
    consumers = list(node.output(0).get_target_inputs())
    if len(consumers) == 1 and consumers[0].get_node().get_type_name() == "Add":
        adds = consumers[0].get_node()
        bias_input = 1 - consumers[0].get_index()
        value = constant(adds.input_value(bias_input).get_node())
        if value is not None:
            return value, (adds, bias_input)
    return None, None


def _quantise(product: Product, tensors: dict[str, np.ndarray], index: int) -> None:
    """Gives one product int8 inputs and weights, with its factors and its corrected bias."""
    ops = openvino().opset13
    source, weights = product.node.input_value(0), product.weights.astype(np.float32)
    factors = tensors.get(f"{index}.factors")
    if factors is not None:  # shaped as the input's channels
        source = ops.multiply(source, ops.constant(factors)).output(0)
        weights = weights / factors.reshape(1, -1, *[1] * (weights.ndim - 2))
    low, high = (ops.constant(np.float32(value)) for value in tensors[f"{index}.range"])
    product.node.input(0).replace_source_output(
        ops.fake_quantize(source, low, high, low, high, _ACTIVATION_LEVELS).output(0)
    )
    most = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True).clip(1e-12)
    stored = weights
    if product.node.get_type_name() == "MatMul" and not product.node.get_attributes()["transpose_b"]:
        stored, most = weights.T, most.T
    low, high = ops.constant(-most), ops.constant(most)
    product.node.input(1).replace_source_output(
        ops.fake_quantize(ops.constant(np.ascontiguousarray(stored)), low, high, low, high, _WEIGHT_LEVELS).output(0)
    )
    correction = tensors.get(f"{index}.bias")
    if correction is not None and product.bias is not None and product.bias_of is not None:
        adds, bias_input = product.bias_of
        corrected = product.bias.astype(np.float32) + correction.reshape(product.bias.shape)
        adds.input(bias_input).replace_source_output(ops.constant(corrected).output(0))
