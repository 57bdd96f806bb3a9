"""Fine-tuning from the panel: slices are kept as they are corrected, learnt from, and the new version is used."""

from __future__ import annotations

import functools
import sys

import numpy as np
import pytest
from panel_driver import MODULE, PanelDriver
from quick_finetuning import write_quick_script
from real_data import real_data

FIRST, COUNT = 16, 4


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's folder, and runs that are quick."""
    from sammix_core import finetuning

    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    quick = write_quick_script(tmp_path, head=6, decoder=3)
    monkeypatch.setattr(
        finetuning.FineTuneRun, "command", lambda run, python=sys.executable: [python, str(quick), str(run.folder)]
    )
    monkeypatch.setattr(
        finetuning, "FineTuneSettings", functools.partial(finetuning.FineTuneSettings, views=0, threads=1)
    )
    return tmp_path / "home"


@pytest.fixture
def panel(home, load_module):
    """The panel with a process of its own, whose folder of models is the test's."""
    panel = PanelDriver(load_module(MODULE))
    panel.ui.fineTuneSection.collapsed = False
    return panel


@pytest.fixture
def a_ct(app):
    """Four slices through the middle of a real liver."""
    import slicer

    volume = slicer.util.loadVolume(str(real_data("crlm1004_ct.nii.gz")))
    voxels = slicer.util.arrayFromVolume(volume)[FIRST : FIRST + COUNT].copy()
    slicer.util.updateVolumeFromArray(volume, voxels)
    return volume


def paint(panel, index, rows=slice(150, 170)):
    """Changes a slice as Slicer's editor does."""
    import slicer

    case, mask = panel.case, panel.mask()
    columns = np.flatnonzero(mask[index].any(axis=0))
    mask[index, rows, columns[0] : columns[0] + 30] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, case.segmentationNode, case.segmentId, case.volumeNode)


def texts(table):
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def until(condition, seconds=300):
    from slicer_host import mouse

    mouse.wait_until(condition, seconds)


def test_from_corrections_to_a_version_in_use_and_back(panel, a_ct, home):
    import slicer

    from sammix_core import model_store
    from sammix_core.datasets.correction_set import CorrectionSet

    # Kept as they are corrected; a slice that is right can be kept, and every entry deleted.
    panel.segment(a_ct)
    ui, kept = panel.ui, panel.ui.correctionsTable
    for index in (0, 1, 2):
        paint(panel, index)
        until(lambda wanted=index: len(panel.case.corrected()) == wanted + 1)
        until(lambda wanted=index: kept.rowCount == wanted + 1)
    panel.go_to(3)
    panel.click("acceptButton")
    until(lambda: kept.rowCount == 4)
    assert [row[2] for row in texts(kept)] == ["by hand"] * 3 + ["accepted"]
    assert {row[3] for row in texts(kept)} == {"training", "validation"}
    on_disk = CorrectionSet.open(home / "corrections" / "liver")
    masks = {entry.slice_index: on_disk.load(entry.id).mask.sum() for entry in on_disk.entries()}
    assert sorted(masks.values()) == sorted(int(plane.sum()) for plane in panel.mask())
    panel.click("undoButton")  # slice 2 is no correction any more
    until(lambda: kept.rowCount == 3)
    kept.selectRow(0)
    panel.click("deleteEntryButton")
    assert kept.rowCount == 2
    paint(panel, 0, slice(180, 200))
    until(lambda: kept.rowCount == 3)

    # Paused, resumed, stopped and resumed; then there is a version with both figures.
    tuning = panel.logic.fineTuning
    panel.click("fineTuneButton")
    assert not ui.fineTuneButton.enabled
    until(lambda: " of " in ui.fineTuneLabel.text)
    panel.click("pauseButton")
    until(lambda: tuning.state == "paused")
    assert (ui.pauseButton.text, ui.fineTuneLabel.text) == ("Resume", "Paused.")
    panel.click("pauseButton")
    until(lambda: tuning.state == "running")
    panel.click("stopButton")
    until(lambda: tuning.state == "cancelled" and not tuning.isActive)
    assert "Resume" in ui.fineTuneLabel.text
    assert ui.fineTuneButton.enabled
    panel.click("pauseButton")
    until(lambda: tuning.state == "finished")
    result = tuning.result()
    assert ui.fineTuneLabel.text == result.sentence
    rows = texts(ui.figuresTable)
    assert [row[0] for row in rows] == [label for label, _before, _after in result.table()]
    assert all(0 < float(value) <= 1 for row in rows for value in row[1:])
    panel.click("curvesButton")
    [table] = [node for node in slicer.util.getNodesByClass("vtkMRMLTableNode") if node.GetName() == "Fine-tuning"]
    losses = slicer.util.arrayFromTableColumn(table, "Loss")
    assert np.isfinite(losses).sum() == 9  # six steps and three
    assert table.GetTable().GetColumnByName("Dice, oracle boxes").GetRange()[1] > 0.5

    # Offered, used by one click, and back by another.
    assert model_store.resolve("liver").spec == "liver/2.0.0"
    assert ui.versionBox.currentText == "my-liver/1.0.0"
    panel.click("useVersionButton")
    until(lambda: ui.versionBox.currentText == "liver/2.0.0")
    assert model_store.resolve("liver").spec == "my-liver/1.0.0"
    panel.go_to(1)
    panel.logic.workspace.update(keepCorrections=False)
    panel.loaded.widget.dialogs.confirm = lambda _question: True
    panel.click("resetBoxButton" if ui.resetBoxButton.enabled else "deleteBoxButton")
    panel.wait()
    panel.click("segmentButton")
    panel.wait()
    assert panel.case.model == "my-liver/1.0.0"
    panel.click("useVersionButton")
    assert model_store.resolve("liver").spec == "liver/2.0.0"


def test_a_result_that_cannot_be_read_is_reported_in_one_sentence(panel, home):
    """Of a run that an earlier version of SAMMix made, or that the disk has damaged."""
    from sammix_core.datasets.correction_set import CorrectionSet
    from sammix_core.finetuning import FineTuneRun, FineTuneSettings

    kept = CorrectionSet.create(home / "set", "liver")
    run = FineTuneRun.create(FineTuneSettings(name="mine", sources=(kept.folder,)))
    (run.folder / "result.json").write_text('{"mix": 0.75}')
    run.set_state("finished")
    panel.logic.fineTuning.restore()
    assert panel.logic.fineTuning.state == "finished"
    assert "result" in panel.status.lower()
    assert panel.ui.figuresTable.rowCount == 0


def test_a_new_structure_is_drawn_into_a_segment_of_its_own(panel, a_ct, home):
    from slicer_host import mouse

    from sammix_core.datasets.correction_set import CorrectionSet

    panel.draw(a_ct, 1)
    liver, segment_id = panel.case.segmentationNode, panel.case.segmentId
    panel.ui.newTargetEdit.setText("right  kidney")
    panel.click("newTargetButton")
    assert panel.case.segmentationNode is not liver
    assert not panel.mask().any()
    assert liver.GetSegmentation().GetSegment(segment_id) is not None
    segment = panel.case.segmentationNode.GetSegmentation().GetSegment(panel.case.segmentId)
    assert segment.GetName() == "right kidney"
    assert panel.ui.segmentButton.text == "Segment right kidney"
    assert not panel.ui.segmentButton.enabled

    paint_new(panel, 2)
    mouse.wait_until(lambda: panel.ui.correctionsTable.rowCount == 1, 120)
    kept = CorrectionSet.open(home / "corrections" / "right_kidney")
    assert (kept.target, len(kept)) == ("right kidney", 1)
    assert panel.ui.modelNameEdit.text == "right-kidney"
    # A slice without it can be kept too: it says where none is.
    panel.go_to(0)
    panel.click("acceptButton")
    mouse.wait_until(lambda: panel.ui.correctionsTable.rowCount == 2, 120)
    assert texts(panel.ui.correctionsTable)[1][1:3] == ["0", "empty"]


def paint_new(panel, index):
    import slicer

    case, mask = panel.case, panel.mask()
    mask[index, 200:240, 300:340] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, case.segmentationNode, case.segmentId, case.volumeNode)
