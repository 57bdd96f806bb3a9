"""How long the interface stands still at what a user does with lesions, on a CT of 512 x 512 x 200.

    python benchmarks/freeze_lesions.py --ct ../shared/data/crlm1004_ct.nii.gz [--repeats 3] [--profile ACTION]

As benchmarks/freeze.py, whose measures these are; the liver comes from our labels of crlm1004 and not from a run. The
result is benchmarks/freeze_lesions.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from freeze import LIMIT_MS, ROOT, SHAPE, WINDOW, Bench, a_large_ct
from freeze_meter import FreezeMeter

RESULTS = Path(__file__).with_suffix(".json")
LABELS = ROOT / "benchmarks" / "liver_model" / "labels" / "crlm1004.json"


def a_liver(shape: tuple[int, int, int]) -> np.ndarray:
    """(k, j, i) bool: our label, spread as the CT is."""
    from sammix_core.training.labels import CaseLabels

    labels = CaseLabels.read(LABELS)
    mask = np.zeros(labels.shape, dtype=bool)
    for index, plane in labels.masks.items():
        mask[index] = plane
    places = [np.arange(wanted) * there // wanted for wanted, there in zip(shape, mask.shape, strict=True)]
    return mask[np.ix_(*places)]


def work(bench: Bench, node: Any, repeats: int, folder: Path) -> None:
    """Everything that the section offers, several times."""
    driver, ui = bench.driver, bench.driver.ui
    driver.give_liver(node, a_liver(SHAPE))
    ui.lesionsSection.collapsed = False
    for _ in range(repeats):
        bench.do("find candidates", lambda: driver.click("findLesionsButton"))
        count = len(driver.rows)
        for row in range(min(count, 5)):
            bench.do("select a lesion", bench.call(lambda row=row: ui.lesionTable.selectRow(row)))
        ui.lesionTable.selectRow(0)
        bench.do("accept", lambda: driver.click("acceptLesionButton"))
        bench.do("reject", lambda: driver.click("rejectLesionButton"))
        bench.do("undo of a lesion", lambda: driver.click("undoLesionButton"))
        bench.do("add by click", lambda: driver.click("addLesionButton"), lambda: driver.click_at(deepest(driver, 1)))
        bench.do("click mode off", lambda: driver.click("addLesionButton"))
        bench.do("table", bench.call(lambda: driver.logic.lesionExport.table(str(folder / "lesions.csv"))))
        path = str(folder / "lesions.seg.nrrd")
        bench.do("labelmap", bench.call(lambda path=path: driver.logic.lesionExport.labelmap(path)))
        while driver.list.undo.undoName:
            bench.do("undo of all lesions", lambda: driver.click("undoLesionButton"))
    print(f"{count} candidates")


def deepest(driver: Any, number: int) -> tuple[int, int, int]:
    """The voxel (k, j, i) deepest in a lesion."""
    from sammix_core.lesions.growing import deepest_voxel

    i, j, k = deepest_voxel(driver.list.state(number).mask)
    return k, j, i


def main() -> None:
    """Starts the host, works, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    from slicer_host.widgets.view_widget import ViewOnScreen

    start()
    meter.watch_drawing(ViewOnScreen)
    import slicer
    from lesion_panel import LesionPanel
    from panel_driver import MODULE

    window = slicer.util.mainWindow()
    window.resize(*WINDOW)
    window.show()
    node = a_large_ct(arguments.ct, "ct")
    loaded = load_module(MODULE, show=False)
    slicer.util.selectModule(loaded.panel.moduleName)
    bench = Bench(LesionPanel(loaded), meter, arguments.profile)
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with tempfile.TemporaryDirectory() as folder:
        work(bench, node, arguments.repeats, Path(folder))
    loaded.close()
    found = {
        "shape": list(SHAPE),
        "limit_ms": LIMIT_MS,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": load_before,
        "actions": bench.results(),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
