"""The quick benchmark: whole volume, one slice, one edit, ours and the reference by turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sammix_core.boxes import Box, BoxSource
from sammix_core.engines.openvino_compiler import FLOAT32
from sammix_core.engines.threads import in_threads
from sammix_core.evaluation.speed.reference import Reference
from sammix_core.masks.overlap import mask_dice
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.sam.litemedsam import LiteMedSam, decode_with
from sammix_core.segmentation.result import SegmentationResult
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import EVERY_SLICE, SliceSampling
from sammix_core.volume.volume import Volume

if TYPE_CHECKING:
    from sammix_core.preprocessing.axial_slices import AxialSlices

WHOLE_RUNS, PAIRS, EDITS = 3, 7, 100
# The reference takes seconds a slice and the same for each, so that of long volumes it gets some, spread evenly.
MOST_REFERENCE_SLICES = 90
SCHEMA = "sammix-benchmark/1"
_PAUSE_S = 0.05  # before an edit: threads of torch wait busily for a while after their work, and a hand is slower


def peak_memory_bytes() -> int | None:
    """The most memory that this process has held so far, or None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


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

    Ours and the reference take turns, so that what else the machine does meets both; figures are medians.

    Args:
        volume: The CT.
        model: Which model of ours.
        device: "auto", "cpu" or "cuda".
        precision: The encoder's.
        sampling: Which slices may go without the encoder.
        progress: Told after each step.
        cancel: Asked after each step.

    Returns:
        What the JSON holds; times in seconds unless their name says otherwise.

    Raises:
        Cancelled: The user stopped.
    """
    segmenter = Segmenter.load(model, device=device, precision=precision)
    slices = _slices_of(segmenter, volume)
    count = min(len(slices), MOST_REFERENCE_SLICES)
    places = [int(place) for place in np.linspace(0, len(slices) - 1, count).round()]
    stage = ProgressReporter("Measuring", 2 * WHOLE_RUNS + 1 + PAIRS + EDITS, progress, cancel)
    whole: list[float] = []
    by_slice: list[float] = []
    result, peak = None, None
    reference = None
    for run in range(WHOLE_RUNS):
        session = segmenter.open_session(volume, sampling=sampling)
        seconds, result = _timed(partial(_whole, session))
        whole.append(seconds)
        stage.step()
        if reference is None:
            peak = peak_memory_bytes()  # before the reference is loaded: ours alone
            reference = Reference()
            reference.segment(slices.hu[0], None, slices.preprocessing)  # both have been warmed up then
        for index in places[run::WHOLE_RUNS]:
            box = _box_of(slices, result, index)
            by_slice.append(_timed(partial(reference.segment, slices.hu[index], box, slices.preprocessing))[0])
        stage.step()
    assert result is not None
    assert reference is not None
    pairs = [_pair(segmenter, reference, slices, result, number, stage) for number in range(PAIRS)]
    edits = _edits(segmenter, volume, result, stage)
    full = Segmenter.load(model, device=device, precision=FLOAT32)
    full_seconds, exact = _timed(lambda: _whole(full.open_session(volume, sampling=EVERY_SLICE)))
    stage.step()
    ours, theirs = float(np.median(whole)), float(np.median(by_slice)) * len(slices)
    one, alone, other = (float(np.median([pair[place] for pair in pairs])) for place in (0, 1, 2))
    return {
        "schema": SCHEMA,
        "whole_volume_speedup": theirs / ours,
        "per_slice_speedup": other / one,
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
        "slice_seconds": one,
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


def _whole(session: SegmentationSession) -> SegmentationResult:
    session.find_boxes()
    return session.segment_boxes()


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = run()
    return time.perf_counter() - started, found


def _box_of(slices: AxialSlices, result: SegmentationResult, index: int) -> tuple[float, float, float, float] | None:
    """Our box in pixels of the whole slice made 256 x 256, as the reference sees it."""
    box = result.boxes.get(slices.slice_index(index))
    if box is None:
        return None
    left, top, right, bottom = slices.order.box_to_canonical(box.edges, slices.shape_kji)
    rows, cols = slices.plane_shape
    return 256 * left / cols, 256 * top / rows, 256 * right / cols, 256 * bottom / rows


def _pair(
    segmenter: Segmenter,
    reference: Reference,
    slices: AxialSlices,
    result: SegmentationResult,
    number: int,
    stage: ProgressReporter,
) -> tuple[float, float, float]:
    """Seconds a slice, from HU to logits: ours as in a volume, ours alone, the reference's; other slices each time."""
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
        """As a volume is gone through: a slice a thread where that suits the backend, else as many as it takes."""
        size = 1 if backend.concurrency > 1 else backend.batch
        several = [range(place, min(place + size, first + count)) for place in range(first, first + count, size)]
        list(in_threads(ours, several, backend.concurrency))

    together = _timed(in_turn)[0] / count
    alone = _timed(partial(ours, range(first, first + 1)))[0]
    other = _timed(lambda: reference.segment(slices.hu[first], _box_of(slices, result, first), spec))[0]
    stage.step()
    return together, alone, other


def _edits(
    segmenter: Segmenter, volume: Volume, result: SegmentationResult, stage: ProgressReporter
) -> tuple[list[float], list[float]]:
    """Seconds for an edited box on a cached slice, and for the decoder alone in torch, by turns."""
    session = segmenter.open_session(volume)
    boxes = [box for _, box in sorted(result.boxes.items())] or [_middle_box(volume)]
    chosen = [boxes[int(place)] for place in np.linspace(0.2, 0.8, 3) * (len(boxes) - 1)]
    random = np.random.default_rng(0)
    backend = segmenter.model.backend
    decoder = backend if isinstance(backend, LiteMedSam) else None
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
        stage.step()
    return ours, torchs


@torch.inference_mode()
def _decoded_by_torch(backend: LiteMedSam, *inputs: torch.Tensor) -> torch.Tensor:
    """The masks, on the CPU, of torch's own decoder whatever the backend decodes with."""
    network = backend.network
    embedding, boxes, prompt = (one.to(backend.device) for one in inputs)
    return decode_with(network.prompt_encoder, network.mask_decoder, embedding, boxes, prompt)[0].cpu()


def _moved(box: Box, random: np.random.Generator, volume: Volume) -> Box:
    """A box moved by a few voxels, as a hand moves it."""
    shape = np.array(_plane(volume)[1])
    low = np.clip(np.array(box.edges[:2]) + random.integers(-5, 6, 2), 0, shape - 2)
    high = np.clip(np.array(box.edges[2:]) + random.integers(-5, 6, 2), low + 1, shape)
    return Box(box.slice_index, int(low[0]), int(low[1]), int(high[0]), int(high[1]), BoxSource.EDITED)


def _middle_box(volume: Volume) -> Box:
    count, shape = _plane(volume)
    quarter = [max(1, size // 4) for size in shape]
    return Box(count // 2, quarter[0], quarter[1], 3 * quarter[0], 3 * quarter[1], BoxSource.EDITED)


def _plane(volume: Volume) -> tuple[int, list[int]]:
    """How many slices there are, and the sizes of the two axes that boxes lie in."""
    sizes = dict(zip("ijk", volume.shape_kji[::-1], strict=True))
    count = sizes.pop(volume.axial_order.slice_axis)
    return count, list(sizes.values())
