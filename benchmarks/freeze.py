"""How long the interface stands still at each thing that a user does, on a CT of 512 x 512 x 200.

    python benchmarks/freeze.py --ct ../shared/data/crlm1004_ct.nii.gz [--repeats 3] [--profile ACTION]

The panel works in the headless Slicer beside its views, driven by Qt's own mouse events; the CT is spread to 200
slices of 512 x 512 voxels. Every event that Qt delivers is timed. The longest one of each action is what the user waits
for before Slicer answers again: on the clock (wall), computed by the main thread (cpu), and on the clock without the
drawing of the views (ours), which the CPU does here and the graphics card in Slicer; the event that is longest by one
measure need not be so by another. Each action is done several times, and the best time counts, since other programs may
want the cores. The result is benchmarks/freeze.json.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from freeze_meter import FreezeMeter

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_suffix(".json")
SHAPE = (200, 512, 512)
WINDOW = (1500, 940)  # pixels
LIMIT_MS = 100.0
_RUN_S = 3600.0
_MEASURES = ("wall_ms", "cpu_ms", "ours_ms")  # of a Step

sys.path += [str(ROOT), *(str(ROOT / "Testing" / name) for name in ("slicer_host", "makers"))]


def a_large_ct(path: Path, name: str) -> Any:
    """A volume node of `SHAPE` that covers the same body as the file."""
    import slicer

    node = slicer.util.loadVolume(str(path), {"name": name, "show": False})
    array = slicer.util.arrayFromVolume(node)
    places = [np.arange(wanted) * there // wanted for wanted, there in zip(SHAPE, array.shape, strict=True)]
    spacing = np.array(node.GetSpacing()) * array.shape[::-1] / SHAPE[::-1]
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array[np.ix_(*places)]))
    node.SetSpacing(*spacing)
    return node


class Bench:
    """Does what a user does, and keeps the longest step of each.

    Args:
        driver: Of the panel.
        meter: The application.
        profiled: The action of which a profile is printed, or "".
    """

    def __init__(self, driver: Any, meter: FreezeMeter, profiled: str) -> None:
        self.driver = driver
        self.longest: dict[str, list[dict[str, float]]] = {}
        self._meter = meter
        self._profiled = profiled

    def call(self, function: Callable[[], Any]) -> Callable[[], None]:
        """What a dialog or a selector does on the user's behalf: one step by itself."""
        return lambda: self._meter.timed(lambda: "call", function)

    def do(self, name: str, *actions: Callable[[], Any]) -> None:
        """Does something with the mouse, or by a `call`, and waits until all of it has happened."""
        from slicer_host import mouse

        self._meter.steps.clear()
        profile = cProfile.Profile() if name == self._profiled else None
        if profile is not None:
            profile.enable()
        for action in actions:
            action()
            self.driver.wait(_RUN_S)
        # The timer's slow pace is 200 ms: what it does afterwards belongs to the action.
        seen = len(self._meter.steps)
        mouse.wait_until(lambda: sum(s.name.startswith("Timer") for s in self._meter.steps[seen:]) > 3, 60)
        if profile is not None:
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        longest = {measure: max(getattr(step, measure) for step in self._meter.steps) for measure in _MEASURES}
        step = max(self._meter.steps, key=lambda one: one.ours_ms)
        print(f"{name:34}", *(f"{value:7.1f} {measure}" for measure, value in longest.items()), step.name)
        self.longest.setdefault(name, []).append(longest)

    def results(self) -> dict[str, dict[str, Any]]:
        """The best of all repeats by action, in milliseconds."""
        return {
            name: {
                **{measure: round(min(one[measure] for one in found), 1) for measure in _MEASURES},
                "repeats": len(found),
            }
            for name, found in self.longest.items()
        }


def work(bench: Bench, first: Any, second: Any, repeats: int, folder: Path) -> None:
    """Everything that the panel offers, several times."""
    import slicer

    driver, ui = bench.driver, bench.driver.ui

    def choose(node: Any) -> Callable[[], None]:
        return bench.call(lambda: ui.volumeSelector.setCurrentNode(node))

    def click(name: str) -> Callable[[], None]:
        return lambda: driver.click(name)

    def click_on(i: int, j: int) -> Callable[[], None]:
        def act() -> None:
            from slicer_host import mouse

            driver.click_voxel((i, j, driver.logic.workspace.views.current))
            mouse.wait_until(lambda: not driver.logic.clicks.isBusy, _RUN_S)

        return act

    for section in ("inputSection", "slicesSection", "correctSection", "showSection", "exportSection"):
        getattr(ui, section).collapsed = False
    slicer.util.setSliceViewerLayers(background=first, fit=True)
    for repeat in range(repeats):
        bench.do("choose a CT", choose(first))
        bench.do("segment liver, until all is done", click("segmentButton"))
        middle = int(np.argmax(driver.mask().sum(axis=(1, 2))))
        for index in range(middle - 5, middle + 5):
            bench.do("select a row", bench.call(lambda index=index: ui.sliceTable.selectRow(index)))
        driver.go_to(middle)
        bench.do("drag an edge", lambda: driver.drag_edge("i_max", -40))
        bench.do("undo", click("undoButton"))
        bench.do("redo", click("redoButton"))
        bench.do("include", click("includeButton"))
        for number in range(3):
            bench.do("click to include", click_on(256 + 8 * number, 256))
        bench.do("exclude", click("excludeButton"))
        bench.do("click to exclude", click_on(200, 256))
        bench.do("end of clicks", click("excludeButton"))
        bench.do("carry", click("carryButton"))
        bench.do("undo of carrying", click("undoButton"))
        bench.do("select a click", bench.call(lambda: ui.clickTable.selectRow(0)))
        bench.do("delete a click", click("deleteClickButton"))
        driver.go_to(middle + 20)
        bench.do("drag an edge", lambda: driver.drag_edge("j_max", -30))
        bench.do("interpolate", click("interpolateButton"))
        bench.do("undo of many slices", click("undoButton"))
        bench.do("delete a box", click("deleteBoxButton"))
        bench.do("add a box", click("addBoxButton"))
        bench.do("reset a box", click("resetBoxButton"))
        bench.do("next slice to review", click("nextReviewButton"))
        driver.go_to(middle)
        bench.do("activation map on", click("mapCheck"))
        bench.do("activation map off", click("mapCheck"))
        bench.do("fill off and on", click("fillCheck"), click("fillCheck"))
        bench.do("plot", click("plotButton"))
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        bench.do("labelmap node", click("labelmapButton"))
        for ending in ("nii.gz", "seg.nrrd"):
            path = str(folder / f"liver.{ending}")
            bench.do(f"file .{ending}", bench.call(lambda path=path: driver.logic.export.labelmapFile(path)))
        bench.do("boxes file", bench.call(lambda: driver.logic.export.boxes(str(folder / "boxes.json"))))
        bench.do("measure", click("measureButton"))
        bench.do("correct a slice by hand", bench.call(lambda middle=middle: paint(driver.case, middle - 8)))
        bench.do("undo of a correction", click("undoButton"))
        bench.do("3-D surface", click("surfaceButton"))
        bench.do("drag an edge with a surface", lambda: driver.drag_edge("i_max", -20))
        bench.do("choose another CT", choose(second))
        if driver.case is not None:  # known from the time before, with a box on that slice
            driver.go_to(middle + repeat)
        bench.do("segment a slice of another CT", click("addBoxButton"))
        bench.do("switch to the first CT", choose(first))
        bench.do("switch to the second CT", choose(second))
        slicer.mrmlScene.RemoveNode(driver.case.segmentationNode)
        driver.logic.workspace.chooseVolume(None)
        for case in driver.logic.workspace.cases.all():
            slicer.mrmlScene.RemoveNode(case.segmentationNode)
        ui.volumeSelector.setCurrentNode(None)


def paint(case: Any, index: int) -> None:
    """Changes a slice of the segment as Slicer's editor does."""
    import slicer

    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(case.segmentationNode, case.segmentId)
    array[index, 200:240, 200:240] = 1
    segmentation = case.segmentationNode.GetSegmentation()
    segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, case.segmentId)


def measure(
    about: str | None,
    results: Path,
    names: Sequence[str],
    driver_of: Callable[[Any], Any],
    work: Callable[..., None],
) -> None:
    """Reads the command line, starts the host, works, prints and writes the result.

    Args:
        about: What the script does.
        results: The file to write.
        names: Of the CTs that are loaded.
        driver_of: Called with the loaded module.
        work: Called with the bench, the CTs' nodes, how often, and a folder for what is exported.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", default="", help="an action of which to print a profile")
    arguments = parser.parse_args()

    from slicer_host import environment

    reason = environment.why_unavailable()
    if reason:
        raise SystemExit(reason)
    meter = FreezeMeter()
    from slicer_host.host import start
    from slicer_host.module_loader import load_module
    from slicer_host.widgets.plot_widget import qMRMLPlotView
    from slicer_host.widgets.view_widget import ViewOnScreen

    start()
    for view in (ViewOnScreen, qMRMLPlotView):
        meter.watch_drawing(view)
    import slicer
    from panel_driver import MODULE

    window = slicer.util.mainWindow()
    window.resize(*WINDOW)
    window.show()
    nodes = [a_large_ct(arguments.ct, name) for name in names]
    loaded = load_module(MODULE, show=False)
    slicer.util.selectModule(loaded.panel.moduleName)
    bench = Bench(driver_of(loaded), meter, arguments.profile)
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with tempfile.TemporaryDirectory() as folder:
        work(bench, *nodes, arguments.repeats, Path(folder))
    loaded.close()
    found = {
        "shape": list(SHAPE),
        "limit_ms": LIMIT_MS,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "load_before": load_before,
        "actions": bench.results(),
    }
    results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, times in found["actions"].items():
        mark = "" if times["ours_ms"] <= LIMIT_MS else "  OVER"
        print(f"{name:34} {times['wall_ms']:7.1f} wall {times['cpu_ms']:7.1f} cpu {times['ours_ms']:7.1f} ours{mark}")


def _driver_of(loaded: Any) -> Any:
    from panel_driver import PanelDriver

    return PanelDriver(loaded)


if __name__ == "__main__":
    measure(__doc__, RESULTS, ("first", "second"), _driver_of, work)
