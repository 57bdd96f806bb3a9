"""How long it takes from a released mouse to the changed pixels on the screen, in the panel beside its slice views.

    python benchmarks/screen_latency.py [--edits 40] [--busy 2]

An edge of the box is dragged with Qt's mouse events in a slice view of the headless Slicer, on a CT of
512 x 512 x 200 whose embeddings are cached. Measured is from the delivery of the mouse's release until the slice view
has drawn the new mask: until the end of the first paint of the axial view after the slice has changed, the read-back of
its pixels into Qt included. The picture before and after must differ. Parts in milliseconds:

- "release": until the command is sent (the ROI's edges, the case, the model);
- "compute": until the panel has the mask (the process, the way there and back, and waiting for the timer);
- "write": into the segment, and what the panel and the scene do with the news;
- "draw": until the view is drawn, waiting for Qt included. Here it is drawn by the CPU (Mesa), on the cores that also
  compute; Slicer draws with the graphics card.

p50 and p95 are over all edits, and go to benchmarks/screen_latency.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_suffix(".jsonl")
SHAPE = (200, 512, 512)
SLICES = (80, 100, 120)
WINDOW = (1500, 940)  # pixels

sys.path[:0] = [str(ROOT), *(str(ROOT / "Testing" / name) for name in ("slicer_host", "makers"))]


class Watch:
    """Notes when the parts of an edit end.

    Args:
        driver: Of the panel.
    """

    def __init__(self, driver: Any) -> None:
        from SAMMixSlicerLib.worker import SliceChanged
        from SAMMixSlicerLib.worker.commands import SegmentSlice

        self.at: dict[str, float] = {}
        self._driver = driver
        worker = driver.logic.worker
        submit, self._view = worker.submit, driver.red.sliceView()

        def submitted(command: Any) -> int:
            request = submit(command)
            if isinstance(command, SegmentSlice):
                self.at["release"] = time.perf_counter()
            return request

        worker.submit = submitted
        # Called before the panel's own slots.
        worker.on(SliceChanged)._slots.insert(0, lambda _event: self.at.setdefault("compute", time.perf_counter()))
        paint = type(self._view).paintEvent

        def painted(event: Any) -> None:
            # What the slots of the news did is over when Qt paints.
            if "compute" in self.at and "write" not in self.at:
                self.at["write"] = time.perf_counter()
            paint(self._view, event)
            if "compute" in self.at:
                self.at.setdefault("draw", time.perf_counter())

        self._view.paintEvent = painted

    def edit(self, index: int, edge: str, voxels: int) -> dict[str, float]:
        """Drags an edge, and returns the parts in milliseconds."""
        from slicer_host import mouse

        self._driver.go_to(index)
        mouse.wait_until(lambda: not self._driver.logic.worker.busy, 60)
        started, before = self._drag(edge, voxels)
        mouse.wait_until(lambda: "draw" in self.at, 60)
        if np.array_equal(before, self._view.offscreen.pixels()):
            raise SystemExit("The view shows the same after the edit as before it.")
        self._driver.wait()
        times = [started, *(self.at[name] for name in ("release", "compute", "write", "draw"))]
        parts = {name: 1000 * (b - a) for name, a, b in zip(self.at, times[:-1], times[1:], strict=True)}
        return {**parts, "total": 1000 * (times[-1] - started)}

    def _drag(self, edge: str, voxels: int) -> tuple[float, np.ndarray]:
        """Drags and lets go; when the release was delivered, and what the view showed just before."""
        from PySide6.QtTest import QTest

        release = QTest.mouseRelease
        seen: dict[str, Any] = {}

        def measured(*arguments: Any) -> None:
            seen["picture"] = self._view.offscreen.pixels()
            self.at = {}
            seen["start"] = time.perf_counter()
            release(*arguments)

        QTest.mouseRelease = measured
        try:
            self._driver.drag_edge(edge, voxels)
        finally:
            QTest.mouseRelease = release
        return seen["start"], seen["picture"]


def measure(edits: int) -> dict[str, list[float]]:
    """The parts of every edit."""
    from slicer_host.host import start
    from slicer_host.module_loader import load_module

    start()
    import slicer
    from panel_driver import MODULE, PanelDriver
    from synthetic_ct import synthetic_ct

    window = slicer.util.mainWindow()
    window.resize(*WINDOW)
    window.show()
    few = synthetic_ct((12, *SHAPE[1:]))
    voxels = np.ascontiguousarray(few[np.arange(SHAPE[0]) % len(few)])
    node = slicer.util.addVolumeFromArray(voxels, ijkToRAS=np.diag([-0.8, -0.8, 2.0, 1.0]), name="ct")
    loaded = load_module(MODULE, show=False)
    slicer.util.selectModule(loaded.panel.moduleName)
    driver = PanelDriver(loaded)
    for index in SLICES:
        driver.draw(node, index)
        driver.logic.boxes.setBox(index, (90, 110, 280, 390))
        driver.wait()
    watch = Watch(driver)
    parts: dict[str, list[float]] = defaultdict(list)
    for number in range(-3, edits):  # the first ones warm up
        change = 12 if (number // len(SLICES)) % 2 else -12
        for name, value in watch.edit(SLICES[number % len(SLICES)], "i_max", change).items():
            if number >= 0:
                parts[name].append(value)
    loaded.close()
    return parts


def main() -> None:
    """Measures, and puts a row into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--busy", type=int, default=0, help="programs beside it that want a core each")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    from edit_latency import busy_programs, percentiles
    from slicer_host import environment

    reason = environment.why_unavailable()
    if reason:
        raise SystemExit(reason)
    load_before = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    with busy_programs(arguments.busy):
        parts = measure(arguments.edits)
    from sammix_core.evaluation.report import versions

    row = {
        "what": "screen",
        "ms": percentiles(parts),
        "best_ms": {name: round(min(values), 1) for name, values in parts.items()},
        "busy": arguments.busy,
        "edits": arguments.edits,
        "shape": list(SHAPE),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "load_before": load_before,
        "versions": versions(),
    }
    kept = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    kept = [one for one in kept if one["busy"] != arguments.busy]
    RESULTS.write_text("".join(json.dumps(one) + "\n" for one in (*kept, row)), encoding="utf-8")
    print(json.dumps(row["ms"]), json.dumps(row["best_ms"]))


if __name__ == "__main__":
    main()
