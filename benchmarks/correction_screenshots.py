"""Makes the tutorial's pictures of corrections: a box, clicks that include and exclude, carrying, painting.

    make screenshots     (or: python benchmarks/correction_screenshots.py --ct ../shared/data/hcc006_portal_ct.nii.gz)

Everything in them is real, as in screenshots.py: the mask is the model's, buttons are clicked and the view is clicked
as a user would, where mask and label (benchmarks/liver_model/labels) differ most. The CT is hcc006 of TCIA's
HCC-TACE-Seg (doi 10.7937/TCIA.5FNA-0924, CC BY 4.0).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from screenshots import LABELS, RUN_S, TUTORIAL, beside, look_at, opened, picture, save, show_only

_VIEW_MM = 230.0
_BOX_VOXELS = 40  # how far an edge is dragged inwards and back


class Corrections:
    """Corrects slices where the mask differs from the label, and keeps pictures of the view.

    Args:
        driver: Of the panel, with its case segmented.
        labels: (rows, cols) bool by slice.
    """

    def __init__(self, driver: Any, labels: dict[int, np.ndarray]) -> None:
        self._driver = driver
        self._labels = labels
        self._view = driver.red.sliceView()

    def box(self) -> None:
        """Drags an edge of the box of the largest slice inwards."""
        index = max(self._labels, key=lambda one: int(self._mask()[one].sum()))
        self._go(index, self._mask()[index])
        before = picture(self._view)
        self._driver.drag_edge("i_max", -_BOX_VOXELS)
        self._driver.wait(RUN_S)
        save(beside(before, picture(self._view)), TUTORIAL / "3_box.png")
        self._driver.click("undoButton")

    def click(self, positive: bool) -> int:
        """Clicks into the largest part that is missing, or that is too much.

        Returns:
            The slice.
        """
        index, (i, j) = self._worst(positive)
        self._go(index, self._mask()[index])
        before = picture(self._view)
        name = "include" if positive else "exclude"
        self._driver.click(f"{name}Button")
        self._driver.click_voxel((i, j, index))
        self._wait()
        self._driver.click(f"{name}Button")
        save(beside(before, picture(self._view)), TUTORIAL / f"3_{name}.png")
        return index

    def carry(self, index: int) -> None:
        """Carries the correction of a slice, and shows the neighbour that changes most."""
        before = self._mask()
        pictures = {}
        for other in range(max(0, index - 2), min(len(before), index + 3)):
            self._go(other, before[index])
            pictures[other] = picture(self._view)
        self._go(index, before[index])
        self._driver.click("carryButton")
        self._driver.wait(RUN_S)
        print(self._driver.status)
        changed = (self._mask() != before).sum(axis=(1, 2))
        shown = max(pictures, key=lambda other: int(changed[other]))
        self._go(shown, before[index])
        save(beside(pictures[shown], picture(self._view)), TUTORIAL / "3_carry.png")

    def paint(self) -> None:
        """Brings a slice to the label, as the Segment Editor changes a segment."""
        import slicer
        from slicer_host import mouse

        case, mask = self._driver.case, self._mask()
        free = [index for index in self._labels if not case.state(index).clicks]
        index = max(free, key=lambda one: int((self._labels[one] != mask[one]).sum()))
        self._go(index, mask[index] | self._labels[index])
        before = picture(self._view)
        mask[index] = self._labels[index]
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), case.segmentationNode, case.segmentId, case.volumeNode
        )
        mouse.wait_until(lambda: index in case.corrected(), 120)
        save(beside(before, picture(self._view)), TUTORIAL / "3_paint.png")

    def panel(self) -> None:
        """The section, with the clicks that were made."""
        show_only(self._driver, "correctSection")
        self._driver.ui.clickTable.selectRow(0)
        save(picture(self._driver.ui.correctSection), TUTORIAL / "3_correct.png")

    def _worst(self, positive: bool) -> tuple[int, tuple[int, int]]:
        """The slice with the largest part that is missing (or too much), and that part's innermost voxel (i, j)."""
        from scipy import ndimage

        mask, best = self._mask(), (0.0, 0, (0, 0))
        for index, label in self._labels.items():
            wrong = label & ~mask[index] if positive else mask[index] & ~label
            depth = ndimage.distance_transform_edt(wrong)
            row, col = np.unravel_index(int(depth.argmax()), depth.shape)
            best = max(best, (float(depth[row, col]), index, (int(col), int(row))))
        return best[1], best[2]

    def _mask(self) -> np.ndarray:
        return self._driver.mask() > 0

    def _go(self, index: int, mask: np.ndarray) -> None:
        self._driver.go_to(index)
        rows, cols = np.nonzero(mask)
        look_at(self._driver, (int(cols.mean()), int(rows.mean()), index), _VIEW_MM)
        self._view.forceRender()

    def _wait(self) -> None:
        from slicer_host import mouse

        mouse.wait_until(lambda: not self._driver.logic.clicks.isBusy, RUN_S)
        self._driver.wait(RUN_S)


def main() -> None:
    """Segments the CT, and takes a picture of each kind of correction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path, required=True)
    arguments = parser.parse_args()
    from sammix_core.datasets.labels import CaseLabels

    driver, volume_node, loaded = opened(arguments.ct)
    driver.segment(volume_node)
    corrections = Corrections(driver, CaseLabels.read(LABELS / f"{volume_node.GetName()}.json").masks)
    corrections.box()
    corrections.carry(corrections.click(positive=True))
    corrections.click(positive=False)
    corrections.panel()
    corrections.paint()
    loaded.close()


if __name__ == "__main__":
    main()
