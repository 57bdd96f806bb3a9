"""The encoder that views go through: LiteMedSAM's own, or one with LoRA merged in; in float32, or in int8 as in use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sammix_core.embeddings.view_store import key_of
from sammix_core.engines import int8, int8_measuring
from sammix_core.engines.encoder_engine import openvino_available
from sammix_core.engines.openvino_compiler import FLOAT32, INT8, default_precision
from sammix_core.errors import InputError
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.training.views import CLEAN, View

MEASURED_SLICES = 25
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ViewEncoder:
    """Which encoder the views go through.

    Attributes:
        precision: "float32" or "int8".
        adapter: LoRA's matrices, as a model stores them; None for LiteMedSAM's own encoder.
        ranges: The int8 ranges of the adapted encoder; None without LoRA, or in float32.
    """

    precision: str = FLOAT32
    adapter: Mapping[str, torch.Tensor] | None = None
    ranges: Path | None = None

    @property
    def identity(self) -> str:
        """Changes with everything that changes embeddings; "" for LiteMedSAM's own encoder in float32."""
        parts: list[str] = []
        if self.adapter is not None:
            parts.append(adapter_key(self.adapter))
        if self.precision == INT8:
            parts += [INT8, int8.recipe_key(self.ranges)]
        return key_of(parts) if parts else ""

    def check(self) -> None:
        """Refuses int8 where it would not be the int8 of inference, since float32 would be mixed in silently.

        Raises:
            InputError: OpenVINO is not installed, or the processor multiplies no int8.
        """
        if self.precision != INT8:
            return
        if not openvino_available(_CPU):
            raise InputError("The training configuration's encoder int8 needs OpenVINO, which is not installed here.")
        if default_precision() != INT8:
            raise InputError(
                "The training configuration's encoder int8 needs a processor with bfloat16 and int8; this one computes "
                "in float32. Choose encoder: float32, or train on another machine."
            )


def as_stored(adapter: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """LoRA's matrices rounded as a model's file rounds them, so that training sees the encoder that is shipped."""
    return {name: tensor.detach().to(torch.float16).float() for name, tensor in adapter.items()}


def adapter_key(adapter: Mapping[str, torch.Tensor]) -> str:
    """Hexadecimal digits that change with LoRA's matrices."""
    digest = hashlib.sha256()
    for name, tensor in sorted(adapter.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()[:12]


def measured_ranges(
    encoder: torch.nn.Module, views: Sequence[View], images: Sequence[np.ndarray], adapter_key: str, folder: Path
) -> Path:
    """The int8 ranges of an adapted encoder, measured on slices of all cases where they are not there yet.

    Args:
        encoder: LoRA merged in, on the CPU, in eval mode.
        views: The views.
        images: For each view (n, size, size) in [0, 1].
        adapter_key: Identifies LoRA.
        folder: Where the file is kept.

    Raises:
        InputError: NNCF is not installed.
    """
    path = folder / f"encoder-int8-{adapter_key}.safetensors"
    if not path.is_file():
        clean = [(view, of_view) for view, of_view in zip(views, images, strict=True) if view.name == CLEAN]
        about = {"base_model": LITE_MEDSAM.sha256, "lora": adapter_key, "cases": [view.case for view, _ in clean]}
        chosen = list(_spread_images([of_view for _, of_view in clean], MEASURED_SLICES))
        int8_measuring.measure_ranges(encoder, chosen, about, path)
    return path


def _spread_images(of_cases: Sequence[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """(1, 3, size, size) float32 each, evenly from every case."""
    each = -(-count // len(of_cases))
    for images in of_cases:
        for place in np.unique(((np.arange(each) + 0.5) / each * len(images)).astype(int)):
            image = images[place].astype(np.float32)
            yield np.ascontiguousarray(np.broadcast_to(image, (1, 3, *image.shape)))
