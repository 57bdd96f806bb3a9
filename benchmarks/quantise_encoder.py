"""Measures the ranges of the image encoder's int8 form: sammix_core/engines/encoder_int8.safetensors.

    pip install nncf
    python benchmarks/quantise_encoder.py --data ../shared/data [--slices 24]

NNCF's post-training quantisation (mixed preset, transformer) looks at slices of the training cases alone; what it finds
is written down, and OpenVINO alone applies it (sammix_core/engines/int8.py). Printed: how far the embeddings of slices
that were not used for it are from float32's, for NNCF's own model and for ours.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import torch
from safetensors.numpy import save_file

from sammix_core.engines import int8
from sammix_core.engines.openvino_compiler import openvino
from sammix_core.model_store import LITE_MEDSAM
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam.litemedsam import IMAGE_SIZE, build_network
from sammix_core.volume_io import read_volume

# Those that the model's licence lets us learn from; see the model card.
CASES = (
    "crlm1004_ct.nii.gz",
    "acrin_flt_breast_001_abdpelvis_ct.nii.gz",
    "acrin_flt_breast_013_chest_ct.nii.gz",
    "totalseg_example_ct.nii.gz",
    "totalseg_dicom_slab20",
)
KEPT_IN_BFLOAT16 = ["GroupConvolution", "ScaledDotProductAttention"]


def images(data: Path, count: int, offset: float) -> Iterator[np.ndarray]:
    """(1, 3, size, size) float32: slices spread over each case."""
    for case in CASES:
        volume = read_volume(data / case)
        slices = AxialSlices.cut(volume, volume.axial_order, PreprocessingSpec())
        each = max(1, count // len(CASES))
        for place in np.unique(((np.arange(each) + offset) / each * len(slices)).astype(int)):
            yield np.ascontiguousarray(np.broadcast_to(slices.image(int(place)), (1, 3, IMAGE_SIZE, IMAGE_SIZE)))


def converted() -> Any:
    example = torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    with torch.no_grad():
        traced = torch.jit.trace(build_network().image_encoder, example, check_trace=False)
    return openvino().convert_model(traced, example_input=(example,), input=[list(example.shape)])


def what_was_found(plain: Any, quantised: Any) -> tuple[dict[str, np.ndarray], list[list[int]]]:
    """Ranges, factors and corrections of NNCF's model, product by product."""
    tensors: dict[str, np.ndarray] = {}
    shapes = []
    for index, (before, after) in enumerate(zip(int8.products(plain), int8.products(quantised), strict=True)):
        shapes.append(list(before.weights.shape))
        quantiser = after.node.input_value(0).get_node()
        while quantiser.get_type_name() in ("Reshape", "Transpose"):  # one range for all: moving them changes nothing
            quantiser = quantiser.input_value(0).get_node()
        if quantiser.get_type_name() != "FakeQuantize":
            raise SystemExit(f"{before.node.get_friendly_name()} was not quantised.")
        ends = [int8.constant(quantiser.input_value(place).get_node()) for place in (1, 2)]
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


def main() -> None:
    """Quantises, writes the ranges, compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=25)
    arguments = parser.parse_args()
    plain = converted()
    seen = list(images(arguments.data, arguments.slices, 0.5))
    by_nncf = nncf.quantize(
        plain,
        nncf.Dataset(seen),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(seen),
        ignored_scope=nncf.IgnoredScope(types=KEPT_IN_BFLOAT16),
    )
    tensors, shapes = what_was_found(converted(), by_nncf)
    about = {
        "schema": int8.SCHEMA,
        "base_model": LITE_MEDSAM.sha256,
        "cases": CASES,
        "slices": len(seen),
        "nncf": nncf.__version__,
        "openvino": openvino().__version__,
        "shapes": shapes,
    }
    save_file(tensors, int8.RECIPE, {"about": json.dumps(about)})
    core = openvino().Core()
    forms = {
        "float32": (plain, "f32"),
        "bfloat16": (plain, "bf16"),
        "NNCF's": (by_nncf, "bf16"),
        "int8": (int8.quantised(converted()), "bf16"),
    }
    others = list(images(arguments.data, len(CASES), 0.25))
    found = {
        name: np.concatenate([compiled(image)[0].copy() for image in others])
        for name, (model, hint) in forms.items()
        for compiled in [core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})]
    }
    exact = found.pop("float32")
    for name, embeddings in found.items():
        error = np.sqrt(((embeddings - exact) ** 2).mean() / exact.var())
        print(f"{name}: relative error {error:.4f} on {len(others)} other slices")
    print(f"{len(shapes)} products, {int8.RECIPE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
