"""How long it takes from a released mouse to the changed pixels in the module's hands, and where the time goes.

    python benchmarks/edit_latency.py [--model liver] [--device cpu] [--edits 40] [--boxes 3] [--busy 2]
                                      [--wait-policy ACTIVE]

A box is moved again and again on a few slices of a made-up CT of 512 x 512 x 300, whose embeddings are cached; with
--boxes those slices have as many boxes, of which one moves. The module's side polls every 20 ms, as the panel's timer
does, and writes the slice into an array of the whole volume; what Slicer needs to draw it comes on top. Rows go to
benchmarks/edit_latency.jsonl:

- "click": as "edit", of clicks that include or exclude a point of a slice with a box; each is deleted before the next;
- "edit": the whole way (total), and its parts in milliseconds: send (to the process and back, and waiting for the
  timer), wait (in the process's queue), segment (see below), pack (the mask into bits), receive (bits into the array);
- "segment": the parts of segment in this process alone: decode (the network), resample (its mask onto the slice),
  clean (box, specks, holes), embed (the cached embedding into float32).

p50 and p95 are over all edits. Run it on a quiet machine; --busy starts so many programs that want a core each, and
--wait-policy is how torch's threads wait for each other (the module's own choice is PASSIVE).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "SAMMixSlicer"), str(ROOT / "Testing" / "makers")]

from SAMMixSlicerLib.worker import Finished, Outcome, SliceChanged, Worker  # noqa: E402
from SAMMixSlicerLib.worker.commands import AddClick, Command, DeleteClick, LoadModel, SegmentSlice  # noqa: E402
from synthetic_ct import synthetic_ct  # noqa: E402

from sammix_core.boxes import Box, BoxSource, Click  # noqa: E402
from sammix_core.evaluation.report import versions  # noqa: E402
from sammix_core.volume.volume import Volume, grid_from_ras  # noqa: E402

RESULTS = Path(__file__).with_suffix(".jsonl")
IJK_TO_RAS = np.diag([-0.8, -0.8, 2.0, 1.0])
SHAPE = (300, 512, 512)
SLICES = (100, 150, 200)
TIMER_SECONDS = 0.02


def a_ct() -> np.ndarray:
    """(300, 512, 512) int16: twelve different slices in turn."""
    few = synthetic_ct((12, 512, 512))
    return np.ascontiguousarray(few[np.arange(SHAPE[0]) % len(few)])


def boxes(count: int) -> Iterator[Box]:
    """Boxes that move by a few voxels from one to the next, as a hand moves them."""
    random = np.random.default_rng(0)
    for number in range(count):
        i_min, j_min, i_max, j_max = (int(edge) for edge in np.array([90, 110, 280, 390]) + random.integers(-15, 15, 4))
        yield Box(SLICES[number % len(SLICES)], i_min, j_min, i_max, j_max, BoxSource.EDITED)


def boxes_beside(count: int, index: int) -> list[Box]:
    """So many further boxes of a slice, which stay where they are."""
    every = [(300, 110, 420, 200), (300, 230, 420, 320), (300, 340, 420, 430)]
    return [Box(index, *edges, BoxSource.EDITED, part=part) for part, edges in enumerate(every[:count], start=1)]


def percentiles(parts: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        name: {f"p{share}": round(float(np.percentile(times, share)), 2) for share in (50, 95)}
        for name, times in parts.items()
    }


class Module:
    """The module's side: a timer, and the pixels."""

    def __init__(self) -> None:
        self.worker = Worker(sys.executable)
        self.pixels = np.zeros(SHAPE, np.uint8)
        self.changed: list[SliceChanged] = []
        self.ended: dict[int, Any] = {}
        self.receive_ms = 0.0
        self.worker.on(SliceChanged).connect(self._write)
        self.worker.on(Finished).connect(lambda event: self.ended.__setitem__(event.request, event))

    def _write(self, event: SliceChanged) -> None:
        started = time.perf_counter()
        mask = event.state.mask
        self.pixels[event.state.slice_index] = 0 if mask is None else mask.unpack()
        self.receive_ms = 1000 * (time.perf_counter() - started)
        self.changed.append(event)

    def tick_until(self, happened: Callable[[], bool]) -> None:
        """Polls as the timer does until something has happened."""
        next_tick = time.perf_counter()
        while not happened():
            next_tick += TIMER_SECONDS
            time.sleep(max(0.0, next_tick - time.perf_counter()))
            self.worker.poll()

    def done(self, request: int) -> None:
        """Polls until a command has ended well."""
        self.tick_until(lambda: request in self.ended)
        if self.ended[request].outcome is not Outcome.DONE:
            raise SystemExit(self.ended[request].sentence)


def clicks(count: int) -> Iterator[Click]:
    """Clicks about the middle of the slices, in and out of the mask in turn."""
    random = np.random.default_rng(0)
    for number in range(count):
        i, j = (int(at) for at in np.array([185, 250]) + random.integers(-90, 90, 2))
        yield Click(SLICES[number % len(SLICES)], i, j, positive=number % 2 == 0)


def prepared(model: str, device: str, beside: int) -> Module:
    """A module with the volume open, boxes on its slices, and the slices encoded."""
    module = Module()
    module.worker.submit(LoadModel(model, device))
    module.done(module.worker.openVolume("ct", a_ct(), IJK_TO_RAS))
    others = [box for index in SLICES for box in boxes_beside(beside, index)]
    for box in (*others, *boxes(2 * len(SLICES))):  # the first ones encode
        module.done(module.worker.submit(SegmentSlice("ct", box)))
    return module


def measure_edit(module: Module, command: Command, parts: dict[str, list[float]]) -> None:
    """Adds the times of one edit, from the command to the pixels."""
    seen = len(module.changed)
    started = time.perf_counter()
    request = module.worker.submit(command)
    module.tick_until(lambda: len(module.changed) > seen)
    total = 1000 * (time.perf_counter() - started)
    inside = {**module.changed[-1].milliseconds, "receive": module.receive_ms}
    for name, value in {"total": total, "send": total - sum(inside.values()), **inside}.items():
        parts[name].append(value)
    module.done(request)


def measure_edits(model: str, device: str, edits: int, beside: int) -> dict[str, list[float]]:
    module = prepared(model, device, beside)
    parts: dict[str, list[float]] = defaultdict(list)
    for box in boxes(edits):
        measure_edit(module, SegmentSlice("ct", box), parts)
    module.worker.close()
    return parts


def measure_clicks(model: str, device: str, edits: int, beside: int) -> dict[str, list[float]]:
    module = prepared(model, device, beside)
    parts: dict[str, list[float]] = defaultdict(list)
    unmeasured: dict[str, list[float]] = defaultdict(list)
    for number, click in enumerate(clicks(edits + 1)):
        # The first one loads the refiner.
        measure_edit(module, AddClick("ct", click), parts if number else unmeasured)
        module.done(module.worker.submit(DeleteClick("ct", click)))
    module.worker.close()
    return parts


@contextlib.contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """So many programs that use a core each."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


@contextlib.contextmanager
def timed(parts: dict[str, float], name: str, owner: Any, function: str) -> Iterator[None]:
    """Adds up the milliseconds that a function takes."""
    real = getattr(owner, function)

    def measured(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return real(*arguments, **named)
        finally:
            parts[name] += 1000 * (time.perf_counter() - started)

    with mock.patch.object(owner, function, measured):
        yield


def measure_parts(model: str, device: str, edits: int, beside: int) -> dict[str, list[float]]:
    # Here, because importing them imports torch, which reads the wait policy then.
    from sammix_core.embeddings.memory_cache import EmbeddingCache
    from sammix_core.preprocessing.frame import Frame
    from sammix_core.segmentation import slice_decoder
    from sammix_core.segmentation.segmenter import Segmenter

    session = Segmenter.load(model, device).open_session(Volume(a_ct(), *grid_from_ras(IJK_TO_RAS)))
    for box in boxes(2 * len(SLICES)):
        session.segment_slice(box.slice_index, [box, *boxes_beside(beside, box.slice_index)])
    parts: dict[str, list[float]] = defaultdict(list)
    for box in boxes(edits):
        one: dict[str, float] = defaultdict(float)
        with (
            timed(one, "decode", slice_decoder, "decode_slices"),
            timed(one, "resample", Frame, "to_slice"),
            timed(one, "clean", slice_decoder, "clean_slice"),
            timed(one, "embed", EmbeddingCache, "embedding"),
            timed(one, "total", session, "segment_slice"),
        ):
            session.segment_slice(box.slice_index, [box, *boxes_beside(beside, box.slice_index)])
        for name, value in one.items():
            parts[name].append(value)
    return parts


def main() -> None:
    """Measures and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="liver")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--boxes", type=int, default=1, choices=(1, 2, 3, 4), help="boxes of each slice")
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--wait-policy", default="PASSIVE", choices=("PASSIVE", "ACTIVE"))
    arguments = parser.parse_args()
    # Read when torch is imported, here and in the process that is started.
    os.environ["OMP_WAIT_POLICY"] = arguments.wait_policy
    key = {
        "device": arguments.device,
        "boxes": arguments.boxes,
        "busy": arguments.busy,
        "wait_policy": arguments.wait_policy,
    }
    about = {
        **key,
        "model": arguments.model,
        "shape": list(SHAPE),
        "edits": arguments.edits,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions(),
    }
    measures = {"edit": measure_edits, "click": measure_clicks, "segment": measure_parts}
    with busy_programs(arguments.busy):
        rows = [
            {
                "what": what,
                "ms": percentiles(measure(arguments.model, arguments.device, arguments.edits, arguments.boxes - 1)),
                **about,
            }
            for what, measure in measures.items()
        ]
    kept = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    # Rows from before --boxes have one.
    kept = [row for row in kept if any({"boxes": 1, **row}[name] != value for name, value in key.items())]
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in (*kept, *rows)), encoding="utf-8")
    for row in rows:
        print(row["what"], json.dumps(row["ms"]))


if __name__ == "__main__":
    main()
