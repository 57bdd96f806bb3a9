"""How long the interface stands still at what a user does with lesions, on a CT of 512 x 512 x 200.

    python benchmarks/freeze_lesions.py --ct ../shared/data/crlm1004_ct.nii.gz [--repeats 3] [--profile ACTION]

As benchmarks/freeze.py, whose measures these are; the liver comes from our labels of crlm1004 and not from a run. The
result is benchmarks/freeze_lesions.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from freeze import ROOT, SHAPE, Bench, measure

RESULTS = Path(__file__).with_suffix(".json")
LABELS = ROOT / "benchmarks" / "liver_model" / "labels" / "crlm1004.json"


def a_liver(shape: tuple[int, int, int]) -> np.ndarray:
    """(k, j, i) bool: our label, spread as the CT is."""
    from sammix_core.datasets.labels import CaseLabels

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


def _driver_of(loaded: Any) -> Any:
    from lesion_panel import LesionPanel

    return LesionPanel(loaded)


if __name__ == "__main__":
    measure(__doc__, RESULTS, ("ct",), _driver_of, work)
