"""The quick benchmark: whole volume, single slice and edit, with ours and the reference taking turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.boxes.parts import enclosing_box
from sammix_core.engines.openvino_compiler import FLOAT32
from sammix_core.engines.threads import in_threads
from sammix_core.evaluation.speed.reference import Reference
from sammix_core.masks.overlap import mask_dice
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.sam.litemedsam import LiteMedSam, is_litemedsam
from sammix_core.sam.litemedsam_network import decode_with
from sammix_core.segmentation.result import SegmentationResult
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import EVERY_SLICE, SliceSampling
from sammix_core.volume.volume import Volume

if TYPE_CHECKING:
    from sammix_core.preprocessing.axial_slices import AxialSlices

WHOLE_RUNS, PAIRS, EDITS = 3, 7, 100
# The reference takes seconds for each slice, and about the same for all, so of long volumes it gets evenly spread ones.
MAX_REFERENCE_SLICES = 90
SCHEMA = "sammix-benchmark/1"
_PAUSE_S = 0.05  # before an edit: after their work torch's threads spin for a while, and a hand is slower


def peak_memory_bytes() -> int | None:
    """The peak memory of this process so far, or None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run_quick(
    volume: Volume,
    model: str,
    device: str,
    precision: str,
    sampling: SliceSampling,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> dict[str, Any]:
    """Measures one volume.

    Ours and the reference take turns, so that other load of the machine affects both; figures are medians.

    Args:
        volume: The CT.
        model: Our model's name.
        device: "auto", "cpu" or "cuda".
        precision: The encoder's.
        sampling: Which slices need not be encoded.
        progress: Called after each step.
        cancel: Polled after each step; return True to stop.

    Returns:
        The figures of the JSON; times in seconds unless their name says otherwise.

    Raises:
        Cancelled: The user stopped.
    """
    segmenter = Segmenter.load(model, device=device, precision=precision)
    slices = _slices_of(segmenter, volume)
    count = min(len(slices), MAX_REFERENCE_SLICES)
    indices = [int(index) for index in np.linspace(0, len(slices) - 1, count).round()]
    reporter = ProgressReporter("Measuring", 2 * WHOLE_RUNS + 1 + PAIRS + EDITS, progress, cancel)

    def timed_run() -> tuple[float, SegmentationResult]:
        session = segmenter.open_session(volume, sampling=sampling)
        timed = _timed(partial(_segment, session))
        reporter.step()
        return timed

    def reference_times(chosen: Sequence[int]) -> list[float]:
        times = []
        for index in chosen:
            box = _box_of(slices, result, index)
            times.append(_timed(partial(reference.segment, slices.hu[index], box, slices.preprocessing))[0])
        reporter.step()
        return times

    seconds, result = timed_run()
    whole = [seconds]
    peak = peak_memory_bytes()  # before the reference is loaded: ours alone
    reference = Reference()
    reference.segment(slices.hu[0], None, slices.preprocessing)  # a warm-up, as our first run had
    by_slice = reference_times(indices[::WHOLE_RUNS])
    for run in range(1, WHOLE_RUNS):
        seconds, result = timed_run()
        whole.append(seconds)
        by_slice += reference_times(indices[run::WHOLE_RUNS])
    pairs = [_pair(segmenter, reference, slices, result, number, reporter) for number in range(PAIRS)]
    edits = _edits(segmenter, volume, result, reporter)
    full = Segmenter.load(model, device=device, precision=FLOAT32)
    full_seconds, exact = _timed(lambda: _segment(full.open_session(volume, sampling=EVERY_SLICE)))
    reporter.step()
    ours, theirs = float(np.median(whole)), float(np.median(by_slice)) * len(slices)
    together, alone, other = (float(np.median(times)) for times in zip(*pairs, strict=True))
    return {
        "schema": SCHEMA,
        "whole_volume_speedup": theirs / ours,
        "per_slice_speedup": other / together,
        "per_slice_speedup_alone": other / alone,
        "dice_vs_full_precision": mask_dice(result.mask, exact.mask),
        "edit_ms_p50": 1000 * float(np.percentile(edits[0], 50)),
        "edit_ms_p95": 1000 * float(np.percentile(edits[0], 95)),
        "decoder_torch_ms": 1000 * float(np.median(edits[1])) if edits[1] else None,
        "peak_memory_gb": None if peak is None else peak / 1e9,
        "whole_volume_seconds": ours,
        "whole_volume_seconds_each": whole,
        "whole_volume_seconds_full_precision": full_seconds,
        "reference_seconds": theirs,
        "reference_slices_timed": count,
        "reference_seconds_a_slice": float(np.median(by_slice)),
        "slice_seconds": together,
        "slice_seconds_alone": alone,
        "slices_at_once": segmenter.model.backend.concurrency,
        "slice_reference_seconds": other,
        "stages": result.seconds,
        "slices": len(slices),
        "slice_mm": slices.slice_mm if volume.spacing_known else None,
        "shape_kji": list(volume.shape_kji),
        "slices_encoded": result.slices_encoded,
        "precision": result.precision,
        "sampling": {"search_mm": sampling.search_mm, "thin_mm": sampling.thin_mm},
        "model": result.model,
        "device": result.device,
        "threads": torch.get_num_threads(),
    }


def _slices_of(segmenter: Segmenter, volume: Volume) -> AxialSlices:
    from sammix_core.preprocessing.axial_slices import AxialSlices

    return AxialSlices.cut(volume, volume.axial_order, segmenter.model.preprocessing)


def _segment(session: SegmentationSession) -> SegmentationResult:
    session.find_boxes()
    return session.segment_boxes()


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def _box_of(slices: AxialSlices, result: SegmentationResult, index: int) -> tuple[float, float, float, float] | None:
    """Our box, round all parts, in pixels of the whole slice resized to 256 x 256, as the reference gets it."""
    boxes = result.boxes.on(slices.slice_index(index))
    edges = enclosing_box([slices.order.box_to_canonical(box.edges, slices.shape_kji) for box in boxes])
    if edges is None:
        return None
    left, top, right, bottom = edges
    rows, cols = slices.plane_shape
    return 256 * left / cols, 256 * top / rows, 256 * right / cols, 256 * bottom / rows


def _pair(
    segmenter: Segmenter,
    reference: Reference,
    slices: AxialSlices,
    result: SegmentationResult,
    number: int,
    reporter: ProgressReporter,
) -> tuple[float, float, float]:
    """Seconds a slice, from HU to logits, on slices of this pair: ours as in a volume, ours alone, the reference's."""
    backend, spec = segmenter.model.backend, slices.preprocessing
    count = min(max(4 * backend.concurrency, backend.batch), len(slices))
    first = int((number + 0.5) / PAIRS * (len(slices) - count + 1))
    box, prompt = torch.tensor([[40.0, 60.0, 180.0, 200.0]]), torch.zeros(1, 1, 256, 256)

    @torch.inference_mode()
    def ours(chosen: Sequence[int]) -> None:
        embeddings = backend.encode(torch.stack([torch.from_numpy(slices.image(index))[None] for index in chosen]))
        for embedding in embeddings.split(1):
            backend.decode(embedding, box, prompt)

    def in_turn() -> None:
        """As in a whole volume: a slice for each thread where that suits the backend, else in batches."""
        size = 1 if backend.concurrency > 1 else backend.batch
        batches = [range(start, min(start + size, first + count)) for start in range(first, first + count, size)]
        list(in_threads(ours, batches, backend.concurrency))

    together = _timed(in_turn)[0] / count
    alone = _timed(partial(ours, range(first, first + 1)))[0]
    other = _timed(lambda: reference.segment(slices.hu[first], _box_of(slices, result, first), spec))[0]
    reporter.step()
    return together, alone, other


def _edits(
    segmenter: Segmenter, volume: Volume, result: SegmentationResult, reporter: ProgressReporter
) -> tuple[list[float], list[float]]:
    """Seconds for an edited box on a cached slice, and for the decoder alone in torch, taking turns."""
    session = segmenter.open_session(volume)
    boxes = result.boxes.every_box or (_middle_box(volume),)
    chosen = [boxes[int(index)] for index in np.linspace(0.2, 0.8, 3) * (len(boxes) - 1)]
    random = np.random.default_rng(0)
    backend = segmenter.model.backend
    decoder = backend if is_litemedsam(backend) else None
    embedding, prompt = torch.rand(1, 256, 64, 64), torch.zeros(1, 1, 256, 256)
    edge = torch.tensor([[40.0, 60.0, 180.0, 200.0]])
    for box in chosen:
        session.prepare_slice(box.slice_index)
        session.segment_slice(box.slice_index, _moved(box, random, volume))
    ours, torchs = [], []
    for number in range(EDITS):
        moved = _moved(chosen[number % len(chosen)], random, volume)
        time.sleep(_PAUSE_S)
        ours.append(_timed(partial(session.segment_slice, moved.slice_index, moved))[0])
        if decoder is not None:
            time.sleep(_PAUSE_S)
            torchs.append(_timed(partial(_decoded_by_torch, decoder, embedding, edge, prompt))[0])
        reporter.step()
    return ours, torchs


@torch.inference_mode()
def _decoded_by_torch(backend: LiteMedSam, *inputs: torch.Tensor) -> torch.Tensor:
    """The masks, on the CPU, of the decoder in torch, whatever engine the backend uses."""
    network = backend.network
    embedding, boxes, prompt = (tensor.to(backend.device) for tensor in inputs)
    return decode_with(network.prompt_encoder, network.mask_decoder, embedding, boxes, prompt)[0].cpu()


def _moved(box: Box, random: np.random.Generator, volume: Volume) -> Box:
    """A box moved by a few voxels, as by hand."""
    shape = np.array(_plane(volume)[1])
    low = np.clip(np.array(box.edges[:2]) + random.integers(-5, 6, 2), 0, shape - 2)
    high = np.clip(np.array(box.edges[2:]) + random.integers(-5, 6, 2), low + 1, shape)
    return Box(box.slice_index, int(low[0]), int(low[1]), int(high[0]), int(high[1]), BoxSource.EDITED)


def _middle_box(volume: Volume) -> Box:
    count, shape = _plane(volume)
    quarter = [max(1, size // 4) for size in shape]
    return Box(count // 2, quarter[0], quarter[1], 3 * quarter[0], 3 * quarter[1], BoxSource.EDITED)


def _plane(volume: Volume) -> tuple[int, list[int]]:
    """Number of slices, and the sizes of the two axes of boxes."""
    sizes = dict(zip("ijk", volume.shape_kji[::-1], strict=True))
    count = sizes.pop(volume.axial_order.slice_axis)
    return count, list(sizes.values())
