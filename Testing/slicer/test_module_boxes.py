"""Slices with several boxes in the panel: drawn, selected, dragged, added, deleted, interpolated, with real clicks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from panel_driver import a_drawn_ct

from sammix_core.boxes import Box, BoxSource, BoxTrack

SHAPE = (5, 96, 112)
LARGE, SMALL, TINY = (10, 14, 56, 80), (66, 20, 98, 46), (66, 58, 98, 84)
AUTO, EDITED = BoxSource.AUTO, BoxSource.EDITED


@pytest.fixture
def ct(app):
    return a_drawn_ct(SHAPE)


def three(index):
    """Three boxes of a slice."""
    return tuple(Box(index, *edges, AUTO, part=part) for part, edges in enumerate((LARGE, SMALL, TINY)))


def opacities(panel):
    return {roi.box.part: roi.node.GetDisplayNode().GetOpacity() for roi in panel.logic.boxes.rois.shown}


def boxes_of(panel, index):
    return {box.part: box for box in panel.case.state(index).boxes}


def test_every_box_of_the_slice_in_view_is_drawn_and_the_table_counts_them(panel, ct):
    from slicer_host import mouse

    first, second, third = three(2)
    panel.draw_boxes(ct, first, replace(second, source=EDITED), third, three(3)[0])
    panel.go_to(2)
    assert panel.visible_boxes() == [first, replace(second, source=EDITED), third]
    assert "Slice 2: 3 boxes. Selected: auto box, 46 × 66 voxels." in panel.ui.boxLabel.text
    mouse.wait_until(lambda: panel.ui.sliceTable.item(2, 2).text() == "3: auto, edited", 5)
    assert panel.ui.sliceTable.item(3, 2).text() == "auto"
    panel.go_to(3)
    assert panel.visible_boxes() == [three(3)[0]]
    assert "Slice 3: auto box, 46 × 66 voxels. Drag" in panel.ui.boxLabel.text
    panel.go_to(4)
    assert panel.visible_boxes() == []


def test_a_click_selects_a_box_and_the_selection_follows_the_part(panel, ct):
    panel.draw_boxes(ct, *three(1), *three(2))
    panel.go_to(2)
    assert opacities(panel) == {0: 1.0, 1: 0.5, 2: 0.5}
    panel.drag_edge("i_max", 0, part=1)
    assert opacities(panel) == {0: 0.5, 1: 1.0, 2: 0.5}
    assert "Selected: auto box, 32 × 26 voxels" in panel.ui.boxLabel.text
    assert panel.case.state(2).boxes == three(2), "a click changes no box"
    panel.go_to(1)
    assert opacities(panel) == {0: 0.5, 1: 1.0, 2: 0.5}


def test_one_of_three_boxes_is_dragged_and_the_others_stay(panel, ct):
    panel.draw_boxes(ct, *three(2))
    panel.go_to(2)
    panel.drag_edge("i_max", -10, part=1)
    panel.wait()
    boxes = boxes_of(panel, 2)
    assert (boxes[0], boxes[2]) == (three(2)[0], three(2)[2])
    assert boxes[1].source is EDITED
    assert boxes[1].edges[:2] == SMALL[:2]
    assert abs(boxes[1].i_max - (SMALL[2] - 10)) <= 1
    assert opacities(panel)[1] == 1.0
    assert panel.visible_boxes() == list(panel.case.state(2).boxes)
    panel.click("undoButton")
    assert panel.case.state(2).boxes == three(2)
    panel.click("redoButton")
    assert boxes_of(panel, 2) == boxes
    panel.click("resetBoxButton")
    panel.wait()
    assert panel.case.state(2).boxes == three(2)


def test_two_drags_in_a_row_are_both_kept(panel, ct):
    """The second one is not answered from what was there before the first."""
    panel.draw_boxes(ct, *three(2))
    panel.go_to(2)
    panel.logic.boxes.setBox(2, (10, 14, 50, 80), 0)
    panel.logic.boxes.setBox(2, (66, 20, 90, 46), 1)
    panel.wait()
    assert [box.edges for box in panel.case.state(2).boxes] == [(10, 14, 50, 80), (66, 20, 90, 46), TINY]


def test_the_selected_box_is_deleted_and_undo_brings_it_back(panel, ct):
    panel.draw_boxes(ct, *three(2))
    panel.go_to(2)
    panel.drag_edge("i_max", 0, part=2)
    panel.click("deleteBoxButton")
    panel.wait()
    state = panel.case.state(2)
    assert (state.boxes, state.deleted_boxes, state.deleted) == (three(2)[:2], three(2)[2:], False)
    assert panel.visible_boxes() == list(three(2)[:2])
    assert panel.ui.undoButton.toolTip == "Undo: Delete box"
    panel.click("undoButton")
    assert (panel.case.state(2).boxes, panel.case.state(2).deleted_boxes) == (three(2), ())
    for _ in three(2):
        panel.click("deleteBoxButton")
        panel.wait()
    assert (panel.case.state(2).boxes, panel.case.state(2).deleted) == ((), True)
    assert panel.visible_boxes() == []


def test_a_further_box_is_added_where_a_neighbour_shows_the_part(panel, ct):
    panel.draw_boxes(ct, three(1)[0], three(2)[0], three(2)[1])
    panel.go_to(1)
    panel.click("addBoxButton")
    panel.wait()
    boxes = boxes_of(panel, 1)
    assert boxes[0] == three(1)[0]
    assert (boxes[1].edges, boxes[1].source) == (SMALL, EDITED)
    assert opacities(panel) == {0: 0.5, 1: 1.0}, "the new box is selected"


def test_a_further_box_is_added_in_the_middle_of_the_view(panel, ct):
    panel.draw_boxes(ct, three(2)[0])
    panel.go_to(2)
    assert panel.ui.addBoxButton.enabled
    panel.click("addBoxButton")
    panel.wait()
    new = boxes_of(panel, 2)[1]
    assert new.source is EDITED
    # The whole slice is in view: a quarter of it, in its middle.
    assert new.edges == pytest.approx((42, 36, 70, 60), abs=1)
    node = panel.red.mrmlSliceNode()
    width, height, depth = node.GetFieldOfView()
    node.SetFieldOfView(width / 2, height / 2, depth)
    panel.click("undoButton")
    panel.click("addBoxButton")
    panel.wait()
    closer = boxes_of(panel, 2)[1]
    assert 0.4 < (closer.i_max - closer.i_min) / (new.i_max - new.i_min) < 0.7


def test_each_part_is_interpolated(panel, ct):
    ends = [replace(box, source=EDITED) for index in (0, 3) for box in three(index)[:2]]
    panel.draw_boxes(ct, *ends, three(1)[0])
    panel.go_to(1)
    panel.click("interpolateButton")
    panel.wait()
    for index in (1, 2):
        assert [(box.edges, box.source) for box in panel.case.state(index).boxes] == [
            (LARGE, BoxSource.INTERPOLATED),
            (SMALL, BoxSource.INTERPOLATED),
        ]
    assert panel.case.boxes().keyframes == (0, 3)


def test_several_boxes_go_through_the_exported_file_and_the_scene(panel, ct, tmp_path, scene):
    import slicer

    panel.draw_boxes(ct, *three(2), *three(3))
    panel.go_to(2)
    panel.click("deleteBoxButton")
    panel.wait()
    boxes, mask = panel.case.boxes(), panel.mask()
    panel.logic.export.boxes(str(tmp_path / "boxes.json"))
    assert BoxTrack.read(tmp_path / "boxes.json") == boxes
    assert boxes.deleted_boxes == three(2)[:1]
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    assert not [node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsROINode") if node.GetSaveWithScene()]
    scene.Clear(False)
    slicer.app.processEvents()
    slicer.util.loadScene(path)
    slicer.app.processEvents()
    assert panel.case.boxes() == boxes
    np.testing.assert_array_equal(panel.mask(), mask)
    panel.go_to(3)
    assert panel.visible_boxes() == list(three(3))


def test_a_slice_with_one_box_looks_as_it_always_did(panel, ct):
    panel.draw_boxes(ct, three(2)[0])
    panel.go_to(2)
    assert opacities(panel) == {0: 1.0}
    panel.loaded.widget.cleanup()
    import slicer

    assert slicer.util.getNodesByClass("vtkMRMLMarkupsROINode") == []
