"""Measures the ranges of the image encoder's int8 form.

    pip install 'sammix[quantise]'
    python benchmarks/quantise_encoder.py --data ../shared/data [--slices 25] [--model FOLDER]

It is LiteMedSAM's own encoder, whose ranges are sammix_core/engines/encoder_int8.safetensors; with a model's folder,
the model's encoder, LoRA merged in: the ranges go into that folder and its manifest, where the engine prefers them
to LiteMedSAM's; `sammix train` has done that already where its configuration has `encoder: int8` and LoRA first.

NNCF's post-training quantisation (sammix_core/engines/int8_measuring.py) looks at slices of the training cases alone;
OpenVINO alone applies what it finds (sammix_core/engines/int8.py). Printed: how far the embeddings of slices that were
not used for it are from float32's, for NNCF's own model and for ours.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.engines import int8
from sammix_core.engines.int8_measuring import converted, measure_ranges
from sammix_core.engines.openvino_compiler import openvino
from sammix_core.files import sha256_of
from sammix_core.model_store import LITE_MEDSAM
from sammix_core.model_store.manifest import MANIFEST_FILE
from sammix_core.model_store.store import ModelFolder, open_model
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam.litemedsam import IMAGE_SIZE, build_network
from sammix_core.sam.lora import merge
from sammix_core.sam.options import encoder_adapter
from sammix_core.volume_io import read_volume

# Those that the model's licence lets us learn from; see the model card.
CASES = (
    "crlm1004_ct.nii.gz",
    "acrin_flt_breast_001_abdpelvis_ct.nii.gz",
    "acrin_flt_breast_013_chest_ct.nii.gz",
    "totalseg_example_ct.nii.gz",
    "totalseg_dicom_slab20",
)


def images(data: Path, count: int, offset: float) -> Iterator[np.ndarray]:
    """(1, 3, size, size) float32: slices spread over each case."""
    for case in CASES:
        volume = read_volume(data / case)
        slices = AxialSlices.cut(volume, volume.axial_order, PreprocessingSpec())
        each = max(1, count // len(CASES))
        for place in np.unique(((np.arange(each) + offset) / each * len(slices)).astype(int)):
            yield np.ascontiguousarray(np.broadcast_to(slices.image(int(place)), (1, 3, IMAGE_SIZE, IMAGE_SIZE)))


def encoder_of(folder: ModelFolder | None) -> Any:
    """LiteMedSAM's encoder, or a model's with its LoRA merged in."""
    encoder = build_network().image_encoder
    adapter = None if folder is None else encoder_adapter(folder)
    if adapter is not None:
        merge(encoder, adapter)
    return encoder


def main() -> None:
    """Quantises, writes the ranges, compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=25)
    parser.add_argument("--model", type=Path, help="a model's folder")
    arguments = parser.parse_args()
    folder = None if arguments.model is None else open_model(arguments.model)
    path = int8.RECIPE if folder is None else folder.path / int8.RANGES_FILE
    encoder = encoder_of(folder)
    about = {"base_model": LITE_MEDSAM.sha256, "cases": CASES}
    by_nncf = measure_ranges(encoder, list(images(arguments.data, arguments.slices, 0.5)), about, path)
    if folder is not None:
        files = {**folder.manifest.files, int8.RANGES_FILE: sha256_of(path)}
        replace(folder.manifest, files=files).write(folder.path / MANIFEST_FILE)
    shape = (1, 3, IMAGE_SIZE, IMAGE_SIZE)
    core = openvino().Core()
    forms = {
        "float32": (converted(encoder, shape), "f32"),
        "bfloat16": (converted(encoder, shape), "bf16"),
        "NNCF's": (by_nncf, "bf16"),
        "int8": (int8.quantised(converted(encoder, shape), path), "bf16"),
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
    print(f"{path.stat().st_size / 1e3:.0f} kB in {path}")


if __name__ == "__main__":
    main()
