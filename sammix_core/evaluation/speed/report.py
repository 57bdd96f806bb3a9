"""A whole benchmark in one JSON document."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from sammix_core.evaluation.report import versions
from sammix_core.evaluation.speed.growth import growth
from sammix_core.evaluation.speed.quick import run_quick
from sammix_core.evaluation.speed.synthetic_volume import synthetic_volume
from sammix_core.files import write_text_atomic
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.segmentation.slice_sampling import DEFAULT_SAMPLING, EVERY_SLICE
from sammix_core.volume_io import read_volume

_SYNTHETIC_SHAPE, _SYNTHETIC_MM = (120, 512, 512), 2.0


def measure_all(
    path: Path | None,
    *,
    quick: bool,
    model: str,
    device: str,
    precision: str,
    every_slice: bool,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> dict[str, Any]:
    """Runs the benchmark; see `sammix benchmark`.

    Args:
        path: A CT, or None for a synthetic one.
        quick: Whether to leave out how cost grows.
        model: Our model's name.
        device: "auto", "cpu" or "cuda".
        precision: The encoder's.
        every_slice: Whether all slices are encoded.
        progress: Called after each step.
        cancel: Polled after each step; return True to stop.

    Raises:
        Cancelled: The user stopped.
        InputError: The CT or the model cannot be read.
    """
    volume = synthetic_volume(_SYNTHETIC_SHAPE, _SYNTHETIC_MM) if path is None else read_volume(path)
    sampling = EVERY_SLICE if every_slice else DEFAULT_SAMPLING
    load = _load()
    figures = run_quick(volume, model, device, precision, sampling, progress, cancel)
    if not quick:
        figures["growth"] = growth(model, device, precision, sampling, progress, cancel)
    return {
        **figures,
        "volume": "made" if path is None else "given",
        "load_before": load,
        "load_after": _load(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": versions(),
    }


def write_figures(figures: dict[str, Any], path: Path) -> None:
    """Writes the document, whole or not at all; no file's name is in it."""
    write_text_atomic(path, json.dumps(figures, indent=1) + "\n")


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
