"""A training configuration with two made-up patients, small enough to be trained on in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from image_files import write_with_itk
from synthetic_ct import LIVER, synthetic_ct
from torch.nn import functional

from sammix_core.datasets.labels import CaseLabels
from sammix_core.sam.litemedsam import LiteMedSam

SPACING = (6.0, 6.0, 6.0)


def write_config(folder: Path, **changes: Any) -> Path:
    """Writes two CTs, labels for one and a labelmap for the other, and a configuration; changes replace its keys."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    shape = (5, 50, 60)
    for number, name in enumerate(("anna", "bert")):
        ct = synthetic_ct(shape, seed=number)
        liver = _liver(ct)
        write_with_itk(data / f"{name}_ct.nii.gz", ct, SPACING)
        if name == "anna":
            masks = {k: liver[k] for k in range(1, 5) if liver[k].any()}
            labels = CaseLabels(name, "liver", "Made up.", shape, masks, frozenset({0}))
            labels.write(folder / f"{name}.json")
        else:
            write_with_itk(data / f"{name}_mask.nii.gz", liver.astype(np.uint8) * 3, SPACING)
    config = {
        "name": "small",
        "version": "0.1.0",
        "target": "liver",
        "seed": 5,
        "data_root": "data",
        "work": "work",
        "output": "out",
        "views": 1,
        "cases": [
            {"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json"},
            {"name": "bert", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [3]},
        ],
        "head": {"steps": 6, "batch": 2},
        "decoder": {"steps": 3, "batch": 2},
        **changes,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return path


def _liver(ct: np.ndarray) -> np.ndarray:
    liver = abs(ct - LIVER) < 40
    liver[0] = False
    return liver


class StubEncoder(torch.nn.Module):
    """An encoder of two `qkv` layers in place of TinyViT, so that a step of LoRA's training takes no seconds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = torch.nn.ModuleDict({"qkv": torch.nn.Linear(48, 64)})
        self.second = torch.nn.ModuleDict({"qkv": torch.nn.Linear(64, 256)})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        cells = functional.pixel_unshuffle(images, 4).movedim(1, -1)
        return self.second["qkv"](torch.tanh(self.first["qkv"](cells))).movedim(-1, 1)


class QuickLiteMedSam(LiteMedSam):
    """LiteMedSAM with its real decoder and an encoder that only mixes the pixels of 4 x 4 blocks.

    Attributes:
        encoded: How many slices were encoded.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device, engine="torch")
        self._mix = torch.randn(256, 16, generator=torch.Generator().manual_seed(1)) / 8
        self.encoded = 0

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `SamBackend.encode`."""
        self.encoded += len(images)
        return torch.einsum("oc,nchw->nohw", self._mix, functional.pixel_unshuffle(images, 4))
