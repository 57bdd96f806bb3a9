"""The panel on a CT with lesions in a liver that is segmented already; nothing is computed for that."""

from __future__ import annotations

from typing import Any

import numpy as np
from liver_with_lesions import MIDDLE, OTHER, a_ct, a_liver, ball
from panel_driver import PanelDriver

LESIONS = (ball(MIDDLE, 5), ball(OTHER, 4))


def ct_values() -> np.ndarray:
    """(k, j, i) int16 HU of a CT with both lesions."""
    array = np.rint(a_ct(LESIONS[0] | LESIONS[1]).array).astype(np.int16)
    array[:, :3], array[:, -3:] = -1000, -1000  # air, as in any CT
    return array


def a_ct_node(name: str = "ct", spacing: float = 1.0) -> Any:
    """That CT in the scene, with voxels of 1 mm or more."""
    import slicer

    matrix = np.diag([-spacing, -spacing, spacing, 1.0])
    matrix[:3, 3] = 20.0, 30.0, -40.0  # without an origin it would be taken for a grid of unknown spacing
    return slicer.util.addVolumeFromArray(ct_values(), ijkToRAS=matrix, name=name)


class LesionPanel(PanelDriver):
    """What a user does in the section Lesions."""

    @property
    def list(self) -> Any:
        """The lesions of the case in work."""
        return self.logic.lesions.list

    @property
    def rows(self) -> list[list[str]]:
        """The table as it is shown."""
        table = self.ui.lesionTable
        return [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]

    def statuses(self) -> list[str]:
        """What was said of each lesion, by row."""
        return [row[4] for row in self.rows]

    def give_liver(self, volume_node: Any, liver: np.ndarray | None = None) -> None:
        """Works on a CT whose liver is segmented."""
        from SAMMixSlicerLib.array_slices import sliceOf

        from sammix_core.masks.packed_mask import PackedMask
        from sammix_core.segmentation.slice_state import SliceState

        self.choose(volume_node)
        workspace = self.logic.workspace
        case = workspace.cases.getOrCreate(volume_node)
        case.useSegmentation(None)
        mask = a_liver() if liver is None else liver
        planes = [sliceOf(mask, case.sliceAxis, index) for index in range(case.sliceCount)]
        masks = {index: PackedMask.pack(plane) if plane.any() else None for index, plane in enumerate(planes)}
        case.setStates([SliceState(index, mask=packed) for index, packed in masks.items()])
        workspace.chooseVolume(volume_node)
        self.logic.actions.changed.emit()  # as at the end of a run

    def find(self) -> None:
        """Clicks "Find candidates" and waits."""
        self.click("findLesionsButton")
        self.wait()

    def segments(self) -> dict[str, np.ndarray]:
        """(k, j, i) bool of every segment but the liver's, by name, as Slicer itself reads it."""
        import slicer

        node = self.case.segmentationNode
        found = {}
        for name in node.GetSegmentation().GetSegmentIDs():
            if name != self.case.segmentId:
                title = node.GetSegmentation().GetSegment(name).GetName()
                found[title] = slicer.util.arrayFromSegmentBinaryLabelmap(node, name, self.case.volumeNode) > 0
        return found

    def click_at(self, kji: tuple[int, int, int]) -> None:
        """Clicks on a voxel in the axial view, and waits until that was done."""
        from slicer_host import mouse

        self.click_voxel(kji[::-1])
        mouse.wait_until(lambda: not self.logic.lesionClicks.isBusy, 60)
