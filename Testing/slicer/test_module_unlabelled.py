"""Further CTs without labels in the panel: ticked and described with the mouse, kept in the scene, handed to a run."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from corrected_slices import a_correction_set
from panel_driver import a_drawn_ct
from synthetic_ct import ras_grid, synthetic_ct

SHAPE = (8, 64, 72)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's folder with saved slices, and runs whose process ends at once."""
    from sammix_core import finetuning
    from sammix_core.datasets.correction_set import default_corrections_folder

    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    a_correction_set(default_corrections_folder("liver"))
    monkeypatch.setattr(finetuning.FineTuneRun, "command", lambda run, python=sys.executable: [python, "-c", ""])
    return tmp_path / "home"


@pytest.fixture
def panel(home, panel):
    panel.ui.fineTuneSection.collapsed = False
    return panel


def rows(panel):
    table = panel.ui.unlabelledTable
    return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]


def opened(panel):
    """Opens the section by its heading, and waits for the panel's timer to list the CTs."""
    import slicer
    from PySide6.QtCore import QPoint, Qt
    from PySide6.QtTest import QTest

    QTest.mouseClick(panel.ui.unlabelledSection, Qt.LeftButton, Qt.NoModifier, QPoint(20, 10))
    slicer.app.processEvents()
    assert panel.ui.unlabelledTable.visible


def select(panel, row):
    import slicer
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    table = panel.ui.unlabelledTable
    place = table.visualItemRect(table.item(row, 0)).center()
    QTest.mouseClick(table.viewport(), Qt.LeftButton, Qt.NoModifier, place)
    slicer.app.processEvents()


def enter(spin, number):
    """Types a number as a user does, and leaves the field with Return."""
    import slicer
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    spin.selectAll()
    QTest.keyClicks(spin, str(number))
    QTest.keyClick(spin, Qt.Key_Return)
    slicer.app.processEvents()


def until_listed(panel, count):
    from slicer_host import mouse

    mouse.wait_until(lambda: panel.ui.unlabelledTable.rowCount == count)


def the_run():
    from sammix_core.finetuning import FineTuneRun

    [run] = FineTuneRun.all()
    return run


def test_ticked_cts_and_folders_reach_the_run_with_their_slices(panel, tmp_path):
    from image_files import write_with_itk

    from sammix_core.finetuning.unlabelled_ct import stored_cts

    a_drawn_ct(SHAPE, 3, name="first")
    second = a_drawn_ct(SHAPE, 4, name="second")
    ui = panel.ui
    assert ui.unlabelledSection.collapsed
    opened(panel)
    until_listed(panel, 2)
    assert rows(panel) == [["first", "no", "–"], ["second", "no", "–"]]
    assert not ui.useUnlabelledCheck.enabled

    select(panel, 1)
    panel.click("useUnlabelledCheck")
    assert not ui.lastSliceSpin.enabled
    panel.click("showsCheck")
    assert rows(panel)[1] == ["second", "yes", "0–7"]
    enter(ui.lastSliceSpin, 5)
    enter(ui.firstSliceSpin, 2)
    assert rows(panel)[1] == ["second", "yes", "2–5"]
    enter(ui.lastSliceSpin, 9)  # there is no such slice
    assert rows(panel)[1][2] == "2–5"
    enter(ui.lastSliceSpin, 1)  # never upside down
    assert rows(panel)[1][2] == "1–1"
    enter(ui.lastSliceSpin, 5)

    folder = tmp_path / "more"
    folder.mkdir()
    panel.loaded.widget.dialogs.folder = lambda _title: str(folder)
    panel.click("addUnlabelledFolderButton")
    assert "There is no CT in" in panel.status
    write_with_itk(folder / "third.nii.gz", synthetic_ct(SHAPE, 5), (3.0, 3.0, 6.0))
    panel.click("addUnlabelledFolderButton")
    assert rows(panel)[2] == [str(folder), "yes", "–"]

    panel.click("fineTuneButton")
    run = the_run()
    assert run.settings.unlabelled == (str(folder.resolve()),)
    [ct] = stored_cts(run.cts_folder, "liver")
    assert (ct.present, ct.absent) == ((1, 2, 3, 4, 5), (0, 6, 7))
    assert np.array_equal(ct.volume.array, synthetic_ct(SHAPE, 4))
    assert np.allclose(ct.volume.spacing, (3.0, 3.0, 6.0))
    # No name of a node is on the disk.
    assert not any(second.GetName().encode() in path.read_bytes() for path in run.folder.rglob("*") if path.is_file())

    select(panel, 2)
    assert not ui.useUnlabelledCheck.enabled
    panel.click("removeUnlabelledFolderButton")
    assert len(rows(panel)) == 2


def test_what_is_said_is_saved_with_the_scene_and_is_of_one_structure(panel, tmp_path):
    import slicer

    a_drawn_ct(SHAPE, 3, name="only")
    opened(panel)
    until_listed(panel, 1)
    select(panel, 0)
    panel.click("useUnlabelledCheck")
    panel.click("rangeFromMaskButton")
    assert panel.status == "only has no mask yet. Segment it first, or enter the slices."
    panel.draw(slicer.util.getNode("only"), 3)
    select(panel, 0)
    panel.click("rangeFromMaskButton")
    assert rows(panel) == [["only", "yes", "3–3"]]
    panel.logic.workspace.update(unlabelledFolders=("/scans",))
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    until_listed(panel, 0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    until_listed(panel, 2)
    assert rows(panel) == [["only", "yes", "3–3"], ["/scans", "yes", "–"]]

    panel.logic.workspace.update(newTarget="right kidney")
    from slicer_host import mouse

    mouse.wait_until(lambda: panel.ui.showsCheck.text == "It shows the right kidney on slices")
    assert rows(panel)[0] == ["only", "yes", "–"]


def test_a_ct_with_saved_slices_or_no_ct_at_all_stops_the_start(panel):
    import slicer
    from corrected_slices import a_patient

    from sammix_core.finetuning import FineTuneRun

    volume, _ = a_patient(0)
    labelled = slicer.util.addVolumeFromArray(volume.array, ijkToRAS=np.diag([-6.0, -6.0, 6.0, 1.0]), name="labelled")
    mr = slicer.util.addVolumeFromArray(np.full(SHAPE, 200, np.int16), ijkToRAS=ras_grid(3.0, 6.0), name="mr")
    opened(panel)
    until_listed(panel, 2)
    select(panel, 0)
    panel.click("useUnlabelledCheck")
    panel.click("fineTuneButton")
    assert panel.status == "labelled has saved slices already. Untick it among the CTs without labels."
    slicer.mrmlScene.RemoveNode(labelled)
    until_listed(panel, 1)
    select(panel, 0)
    panel.click("useUnlabelledCheck")
    panel.click("fineTuneButton")
    assert mr.GetName() in panel.status
    assert "Hounsfield" in panel.status
    assert FineTuneRun.all() == []
