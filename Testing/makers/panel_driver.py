"""Works with the module's panel in the headless Slicer as a user would: clicks, drags, looks at the mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from synthetic_ct import ras_grid, synthetic_ct

from sammix_core.boxes import Box

MODULE = Path(__file__).parents[2] / "SAMMixSlicer" / "SAMMixSlicer.py"


def use_shared_worker(monkeypatch: Any) -> None:
    """Lets the panels that are loaded from now on compute in the tests' one process."""
    from SAMMixSlicerLib.logic import panel_logic
    from shared_worker import shared_worker

    monkeypatch.setattr(panel_logic, "Worker", lambda _interpreter: shared_worker())


def a_drawn_ct(
    shape: tuple[int, int, int] = (5, 96, 112), seed: int = 0, pixel_mm: float = 3.0, name: str = "ct"
) -> Any:
    """Adds a drawn CT to the scene, axial as ordinary ones are, and returns its node."""
    import slicer

    return slicer.util.addVolumeFromArray(synthetic_ct(shape, seed), ijkToRAS=ras_grid(pixel_mm, 6.0), name=name)


class PanelDriver:
    """The panel beside an axial slice view.

    Args:
        loaded: What the host's `load_module` returned for `MODULE`.
    """

    def __init__(self, loaded: Any) -> None:
        import slicer

        self.loaded = loaded
        self.red = slicer.app.layoutManager().sliceWidget("Red")
        self.red.resize(500, 500)
        self.red.show()
        slicer.app.processEvents()

    @property
    def ui(self) -> Any:
        """The panel's widgets by name."""
        return self.loaded.widget.ui

    @property
    def logic(self) -> Any:
        """The panel's logics."""
        return self.loaded.widget.logic.panel

    @property
    def case(self) -> Any:
        """The case in work."""
        return self.logic.workspace.case

    @property
    def status(self) -> str:
        """The status line."""
        return self.ui.statusLabel.text

    def choose(self, volume_node: Any) -> None:
        """Chooses a CT, and shows it."""
        import slicer

        slicer.util.setSliceViewerLayers(background=volume_node, fit=True)
        self.red.sliceLogic().FitSliceToBackground()
        self.ui.volumeSelector.setCurrentNode(volume_node)
        slicer.app.processEvents()

    def click(self, name: str) -> None:
        """Clicks a button of the panel, opening its section where it is closed."""
        from slicer_host import mouse

        button = getattr(self.ui, name)
        parent = button.parent()
        while parent is not None and not hasattr(parent, "collapsed"):
            parent = parent.parent()
        if parent is not None:
            parent.collapsed = False
        mouse.click(button)

    def wait(self, seconds: float = 600.0) -> None:
        """Waits until nothing is on its way."""
        from slicer_host import mouse

        mouse.wait_until(lambda: not self.logic.actions.isBusy, seconds)

    def segment(self, volume_node: Any) -> None:
        """Chooses a CT, clicks "Segment liver" and waits."""
        self.choose(volume_node)
        self.click("segmentButton")
        self.wait()

    def draw(self, volume_node: Any, index: int, left: int = 20) -> Any:
        """Gives a slice a box and a mask of 30 x 30 voxels as if they had been computed, computing nothing.

        Returns:
            The box.
        """
        from SAMMixSlicerLib.array_slices import sliceOf

        from sammix_core.masks.packed_mask import PackedMask
        from sammix_core.segmentation.slice_state import SliceScores, SliceState

        self.choose(volume_node)
        workspace = self.logic.workspace
        case = workspace.cases.getOrCreate(volume_node)
        case.useSegmentation(None)
        mask = np.zeros_like(sliceOf(np.zeros(case.shapeKji, np.uint8), case.sliceAxis, index))
        mask[10:40, left : left + 30] = 1
        box = Box(index, left, 10, left + 30, 40)
        state = SliceState(
            index,
            boxes=(box,),
            automatic_boxes=(box,),
            mask=PackedMask.pack(mask),
            scores=SliceScores(score=0.9),
        )
        case.setStates([state])
        workspace.chooseVolume(volume_node)
        return box

    def mask(self) -> np.ndarray:
        """(k, j, i) uint8: the segment as Slicer itself reads it."""
        import slicer

        case = self.case
        return slicer.util.arrayFromSegmentBinaryLabelmap(case.segmentationNode, case.segmentId, case.volumeNode)

    def visible_boxes(self) -> list[Box]:
        """The boxes that the slice views show."""
        nodes = [(roi.node.GetDisplayNode(), roi.box) for roi in self.logic.boxes.rois._rois]
        return [box for display, box in nodes if display.GetVisibility()]

    def go_to(self, index: int) -> None:
        """Goes to a slice by selecting its row."""
        import slicer

        self.ui.sliceTable.selectRow(index)
        slicer.app.processEvents()
        assert self.logic.workspace.views.current == index

    def draw_boxes(self, volume_node: Any, *boxes: Box) -> None:
        """Gives slices boxes as they are, computing nothing."""
        from sammix_core.segmentation.slice_state import SliceState

        self.choose(volume_node)
        workspace = self.logic.workspace
        case = workspace.cases.getOrCreate(volume_node)
        case.useSegmentation(None)
        slices = {box.slice_index for box in boxes}
        of_slice = {index: tuple(box for box in boxes if box.slice_index == index) for index in slices}
        case.setStates([SliceState(index, boxes=found, automatic_boxes=found) for index, found in of_slice.items()])
        workspace.chooseVolume(volume_node)

    def click_voxel(self, ijk: tuple[int, int, int]) -> None:
        """Goes to a voxel, and clicks on it in the axial view."""
        from SAMMixSlicerLib.scene.geometry import ijkToWorld
        from slicer_host import mouse

        self.logic.workspace.views.jumpToVoxel(ijk)
        view = self.red.sliceView()
        view.forceRender()
        place = (ijkToWorld(self.case.volumeNode) @ [*ijk, 1.0])[:3]
        mouse.click_in_slice_view(view, tuple(place.tolist()))

    def drag_edge(self, edge: str, voxels: int, part: int | None = None) -> None:
        """Drags an edge of a box in view with the mouse.

        Args:
            edge: "i_min", "i_max", "j_min" or "j_max".
            voxels: How far, in voxels.
            part: The box's part; None for the selected box.
        """
        from SAMMixSlicerLib.scene.geometry import ijkToWorld
        from slicer_host import mouse

        boxes: list[Box] = [roi.box for roi in self.logic.boxes.rois.shown]
        selected = self.logic.boxes.selected.part if part is None else part
        (box,) = (one for one in boxes if one.part == selected)
        start = np.array([(box.i_min + box.i_max - 1) / 2, (box.j_min + box.j_max - 1) / 2, box.slice_index, 1.0])
        # The border of a voxel lies half a voxel before its centre.
        start["ij".index(edge[0])] = getattr(box, edge) - 0.5
        end = start.copy()
        end["ij".index(edge[0])] += voxels
        matrix = ijkToWorld(self.case.volumeNode)
        view = self.red.sliceView()
        view.forceRender()
        mouse.drag_in_slice_view(view, tuple((matrix @ start)[:3]), tuple((matrix @ end)[:3]))
