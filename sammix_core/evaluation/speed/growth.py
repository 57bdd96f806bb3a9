"""How cost grows with slices, in-plane size, batch and threads, on synthetic volumes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from sammix_core.evaluation.speed.quick import peak_memory_bytes
from sammix_core.evaluation.speed.synthetic_volume import synthetic_volume
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.slice_sampling import SliceSampling

# In ascending order, since peak memory never falls again.
SLICES = (50, 100, 200, 400, 800, 2000)
SIZES = (128, 256, 512, 1024)
BATCHES = (1, 2, 4, 8)
THREADS = (1, 2)
_SLICE_MM = 1.0
_FEW = 24


def growth(
    model: str,
    device: str,
    precision: str,
    sampling: SliceSampling,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> dict[str, Any]:
    """Measures how cost grows: rows for each variable, some with the slope of a fitted line.

    Raises:
        Cancelled: The user stopped.
    """
    reporter = ProgressReporter(
        "How cost grows", len(SLICES) + len(SIZES) + len(BATCHES) + len(THREADS), progress, cancel
    )
    segmenter = Segmenter.load(model, device=device, precision=precision)
    sizes = [_row(segmenter, (_FEW, size, size), sampling, size, reporter) for size in SIZES]
    slices = [_row(segmenter, (count, 256, 256), sampling, count, reporter) for count in SLICES]
    batches = [_batch(segmenter, count, reporter) for count in BATCHES]
    return {
        "slices": _fitted(slices),
        "in_plane": sizes,
        "batch": _fitted(batches),
        "threads": _threads(model, device, precision, reporter),
    }


def _row(
    segmenter: Segmenter, shape: tuple[int, int, int], sampling: SliceSampling, size: int, reporter: ProgressReporter
) -> dict[str, Any]:
    volume = synthetic_volume(shape, _SLICE_MM)
    started = time.perf_counter()
    result = segmenter.segment_volume(volume, sampling=sampling)
    seconds = time.perf_counter() - started
    reporter.step()
    peak = peak_memory_bytes()
    return {
        "size": size,
        "seconds": seconds,
        "encoded": result.slices_encoded,
        "peak_memory_gb": None if peak is None else peak / 1e9,
    }


def _batch(segmenter: Segmenter, count: int, reporter: ProgressReporter) -> dict[str, Any]:
    backend = segmenter.model.backend
    images = torch.rand(count, 1, backend.image_size, backend.image_size)
    with torch.inference_mode():
        backend.encode(images)
        times = []
        for _ in range(3):
            started = time.perf_counter()
            backend.encode(images).cpu()
            times.append(time.perf_counter() - started)
    reporter.step()
    return {"size": count, "seconds": float(np.median(times))}


def _threads(model: str, device: str, precision: str, reporter: ProgressReporter) -> list[dict[str, Any]]:
    rows = []
    before = torch.get_num_threads()
    try:
        for count in THREADS:
            torch.set_num_threads(count)  # the engines use as many
            rows.append(
                _batch(Segmenter.load(model, device=device, precision=precision), 1, reporter) | {"size": count}
            )
    finally:
        torch.set_num_threads(before)
    return rows


def _fitted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    slope, start = np.polyfit([row["size"] for row in rows], [row["seconds"] for row in rows], 1)
    return {"rows": rows, "seconds_each": float(slope), "seconds_at_none": float(start)}
