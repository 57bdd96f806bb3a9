"""An M-SAM that a test can run in a blink, and a case for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from image_files import write_with_itk

from sammix_core.refinement.msam.spec import MSamSpec

SIZES: dict[str, Any] = {
    "crop": 16,
    "patch": 4,
    "width": 24,
    "depth": 2,
    "heads": 2,
    "global_blocks": [1],
    "window": 2,
    "channels": 48,
    "decoder_hidden": 24,
    "adapter_heads": 2,
}
TINY = MSamSpec.from_dict({**SIZES, "published": False})
BALL_KJI = (11, 9, 14)


def ball(shape_kji: tuple[int, int, int] = (22, 20, 24), radius: float = 4.0) -> np.ndarray:
    """(k, j, i) bool, round `BALL_KJI`."""
    offsets = np.indices(shape_kji) - np.array(BALL_KJI)[:, None, None, None]
    return (offsets**2).sum(0) <= radius**2


def write_msam_config(folder: Path, **changes: Any) -> Path:
    """Writes a CT with a dark ball in it, its labelmap and a configuration; changes replace keys of `msam`."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    mask = ball()
    rng = np.random.default_rng(2)
    ct = (rng.normal(110, 8, mask.shape) - 60 * mask).astype(np.int16)
    ct[:, 0] = -1000  # a CT has air
    write_with_itk(data / "ct.nii.gz", ct, (1.0, 1.0, 1.0))
    write_with_itk(data / "mask.nii.gz", mask.astype(np.uint8) * 2, (1.0, 1.0, 1.0))
    settings = {
        "network": "compact",
        "sizes": SIZES,
        "encoder": "whole",
        "refining_stages": 2,
        "steps": 4,
        "batch": 1,
        "device": "cpu",
        **changes,
    }
    entry = {
        "name": "small-msam",
        "version": "0.1.0",
        "method": "msam",
        "target": "lesion",
        "seed": 5,
        "data_root": "data",
        "work": "work",
        "output": "out",
        "cases": [{"name": "anna", "ct": "ct.nii.gz", "mask": "mask.nii.gz", "values": [2]}],
        "msam": {key: value for key, value in settings.items() if value is not None},
    }
    path = folder / "msam.yaml"
    path.write_text(yaml.safe_dump(entry))
    return path
