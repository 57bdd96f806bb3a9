"""Clicks that include and exclude, in the panel: made, listed, deleted, undone, saved, with real clicks and keys."""

from __future__ import annotations

import numpy as np
import pytest
from panel_driver import a_drawn_ct

from sammix_core.boxes import Box, BoxSource, BoxTrack, Click

SHAPE = (5, 96, 112)
BOX = (10, 14, 56, 80)


@pytest.fixture
def ct(app):
    return a_drawn_ct(SHAPE)


@pytest.fixture
def panel(panel):
    panel.logic.workspace.update(keepCorrections=False)
    return panel


@pytest.fixture
def boxed(panel, ct):
    """The panel with a box on slices 1 and 2, and the mask of slice 2."""
    panel.draw_boxes(ct, *(Box(index, *BOX, BoxSource.AUTO) for index in (1, 2)))
    panel.go_to(2)
    panel.logic.boxes.setBox(2, BOX)
    wait(panel)
    return panel


def wait(panel):
    from slicer_host import mouse

    mouse.wait_until(lambda: not panel.logic.clicks.isBusy and not panel.logic.actions.isBusy, 600)


def press(key):
    import slicer
    from PySide6.QtTest import QTest

    window = slicer.util.mainWindow()
    QTest.keyClick(window, key)
    slicer.app.processEvents()


def rows(panel):
    table = panel.ui.clickTable
    return [tuple(table.item(row, column).text() for column in range(3)) for row in range(table.rowCount)]


def points(panel):
    """The voxels (i, j, k) that are shown as points, by whether they include."""
    import slicer
    from SAMMixSlicerLib.scene.geometry import ijkToWorld

    found = {}
    for positive, node in panel.logic.clicks.points.nodes.items():
        world = slicer.util.arrayFromMarkupsControlPoints(node, world=True)
        ijk = np.c_[world, np.ones(len(world))] @ np.linalg.inv(ijkToWorld(panel.case.volumeNode)).T
        found[positive] = [tuple(voxel) for voxel in np.rint(ijk[:, :3]).astype(int).tolist()]
    return found


def test_clicks_change_their_slice_alone_and_each_is_one_step_of_undo(boxed):
    panel = boxed
    before = panel.mask()
    inside = tuple(np.argwhere(before[2])[len(np.argwhere(before[2])) // 2][::-1].tolist())
    assert not panel.ui.clicksFrame.visible, "nothing more than before without clicks"
    panel.click("excludeButton")
    panel.click_voxel((*inside, 2))
    wait(panel)
    without = panel.mask()
    assert without[2][inside[1], inside[0]] == 0, panel.status
    assert panel.case.state(2).clicks == (Click(2, *inside, False),)
    panel.click("includeButton")
    panel.click_voxel((70, 40, 2))
    wait(panel)
    both = panel.mask()
    assert both[2][40, 70] == 1
    assert (both != before).any(axis=(1, 2)).nonzero()[0].tolist() == [2]
    assert points(panel) == {True: [(70, 40, 2)], False: [(*inside, 2)]}
    assert {row[:2] for row in rows(panel)} == {("2", "include"), ("2", "exclude")}
    header = panel.ui.clickTable.horizontalHeader()
    assert panel.ui.clickTable.height >= header.height + 2 * 22, "both rows are seen"
    assert panel.ui.sliceTable.item(2, 2).text() == "edited, 2 clicks"
    assert panel.status.startswith("Include: slice 2 in ")

    assert panel.ui.undoButton.toolTip == "Undo: Include"
    panel.click("undoButton")
    np.testing.assert_array_equal(panel.mask(), without)
    panel.click("undoButton")
    np.testing.assert_array_equal(panel.mask(), before)
    assert points(panel) == {True: [], False: []}
    assert not panel.ui.clicksFrame.visible
    panel.click("redoButton")
    panel.click("redoButton")
    np.testing.assert_array_equal(panel.mask(), both)
    assert len(rows(panel)) == 2


def test_a_click_is_deleted_from_the_list_with_what_it_did(boxed):
    panel = boxed
    before = panel.mask()
    panel.click("includeButton")
    panel.click_voxel((70, 40, 2))
    wait(panel)
    panel.go_to(4)
    assert not panel.ui.deleteClickButton.enabled
    panel.ui.clickTable.selectRow(0)
    assert panel.logic.workspace.views.current == 2
    panel.click("deleteClickButton")
    wait(panel)
    np.testing.assert_array_equal(panel.mask(), before)
    assert rows(panel) == []
    panel.click("undoButton")
    assert rows(panel) == [("2", "include", "70, 40")]


def test_clicks_in_quick_succession_are_all_kept_in_their_order(boxed):
    voxels = [(30 + 4 * number, 40) for number in range(6)]
    boxed.click("includeButton")
    for number, voxel in enumerate(voxels):
        if number == 3:
            boxed.click("excludeButton")
        boxed.click_voxel((*voxel, 2))
    wait(boxed)
    expected = [Click(2, *voxel, number < 3) for number, voxel in enumerate(voxels)]
    assert list(boxed.case.state(2).clicks) == expected
    for left in range(6, 0, -1):
        assert len(boxed.case.state(2).clicks) == left
        boxed.click("undoButton")


def test_a_click_needs_neither_a_run_nor_a_box_and_any_slice_takes_it(panel, ct):
    panel.choose(ct)
    panel.click("includeButton")
    panel.click_voxel((33, 47, 3))
    wait(panel)
    state = panel.case.state(3)
    assert (state.clicks, state.boxes) == ((Click(3, 33, 47, True),), ()), panel.status
    assert panel.mask()[3][47, 33] == 1


def test_without_a_ct_no_correction_can_be_begun(panel):
    for name in ("addBoxButton", "includeButton", "excludeButton", "carryButton", "paintButton"):
        assert not getattr(panel.ui, name).enabled, name
    assert panel.ui.boxLabel.text == "Select a CT volume first."


def test_keys_begin_and_end_what_the_buttons_do(panel, ct):
    import slicer
    from PySide6.QtCore import Qt

    panel.draw(ct, 1)
    panel.go_to(2)
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    slicer.util.mainWindow().show()
    press(Qt.Key_I)
    assert panel.ui.includeButton.checked
    assert "Press Esc to stop" in panel.ui.boxLabel.text
    press(Qt.Key_E)
    assert (panel.ui.includeButton.checked, panel.ui.excludeButton.checked) == (False, True)
    panel.go_to(1)  # with a box, whose node is new in the scene
    assert panel.visible_boxes() != []
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    press(Qt.Key_Escape)
    assert not panel.ui.excludeButton.checked
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    panel.loaded.panel.exit()
    press(Qt.Key_I)
    assert not panel.ui.includeButton.checked, "another module has the keys"
    panel.loaded.panel.enter()
    press(Qt.Key_D)
    assert panel.logic.actions.isBusy, "a box is added"
    slicer.util.mainWindow().hide()


def test_one_kind_of_click_is_received_at_a_time(panel, ct):
    import slicer

    panel.draw(ct, 1)
    persistence = slicer.app.applicationLogic().GetInteractionNode().GetPlaceModePersistence
    assert persistence() == 0
    panel.click("includeButton")
    panel.click("addLesionButton")
    assert (panel.ui.includeButton.checked, panel.ui.addLesionButton.checked) == (False, True)
    panel.click("excludeButton")
    assert (panel.ui.excludeButton.checked, panel.ui.addLesionButton.checked) == (True, False)
    panel.click("excludeButton")
    assert persistence() == 0
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode") == []


def test_points_are_seen_on_their_own_slice_alone_and_go_with_their_check_box(boxed):
    boxed.click("includeButton")
    boxed.click_voxel((70, 40, 2))
    wait(boxed)
    boxed.click("includeButton")
    view = boxed.red.sliceView()

    def is_green_seen():
        view.forceRender()
        red, green, blue = np.moveaxis(view.offscreen.pixels().astype(int), -1, 0)
        return bool(((green > 180) & (red < 100) & (blue < 140)).any())

    assert is_green_seen()
    boxed.go_to(3)
    assert not is_green_seen()
    boxed.go_to(2)
    boxed.click("boxesCheck")
    assert not is_green_seen()
    boxed.click("boxesCheck")
    assert is_green_seen()


def test_clicks_go_through_the_exported_file_and_the_scene(boxed, scene, tmp_path):
    import slicer

    unclicked = boxed.mask()
    boxed.click("includeButton")
    boxed.click_voxel((70, 40, 2))
    boxed.click_voxel((80, 60, 3))
    wait(boxed)
    clicks, mask = boxed.case.boxes().clicks, boxed.mask()
    assert [click.slice_index for click in clicks] == [2, 3]
    boxed.logic.export.boxes(str(tmp_path / "boxes.json"))
    assert BoxTrack.read(tmp_path / "boxes.json").clicks == clicks
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    scene.Clear(False)
    slicer.app.processEvents()
    assert not boxed.ui.includeButton.checked
    assert rows(boxed) == []
    slicer.util.loadScene(path)
    slicer.app.processEvents()
    assert boxed.case.boxes().clicks == clicks
    np.testing.assert_array_equal(boxed.mask(), mask)
    assert points(boxed) == {True: [(70, 40, 2), (80, 60, 3)], False: []}
    for _click in clicks:
        boxed.ui.clickTable.selectRow(0)
        boxed.click("deleteClickButton")
        wait(boxed)
    np.testing.assert_array_equal(boxed.mask(), unclicked)
