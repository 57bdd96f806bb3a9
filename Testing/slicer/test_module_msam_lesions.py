"""The section Lesions: candidates, accepting and rejecting, clicks, undo, files, scenes. Needs no model."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from lesion_panel import LESIONS, LesionPanel, a_ct_node
from liver_with_lesions import MIDDLE, OTHER, a_liver, ball, dice, ijk
from panel_driver import MODULE, use_shared_worker

from sammix_core.masks.packed_mask import BoxedMask


@pytest.fixture
def panel(load_module, monkeypatch):
    use_shared_worker(monkeypatch)
    panel = LesionPanel(load_module(MODULE))
    panel.logic.workspace.update(keepCorrections=False)
    return panel


@pytest.fixture
def found(panel):
    """The panel with both lesions found as candidates."""
    panel.give_liver(a_ct_node())
    panel.find()
    return panel


def press(panel, key):
    from PySide6.QtTest import QTest

    panel.ui.lesionTable.setFocus()
    QTest.keyClick(panel.ui.lesionTable, key)


def test_candidates_appear_as_rows_and_segments(found):
    assert [row[0] for row in found.rows] == ["Lesion 1", "Lesion 2"]
    assert found.statuses() == ["candidate", "candidate"]
    segments = found.segments()
    for name, truth in zip(("Lesion 1", "Lesion 2"), LESIONS, strict=True):
        assert dice(segments[name], truth) > 0.85
    for row, mask in zip(found.rows, segments.values(), strict=True):
        assert float(row[1]) == pytest.approx(mask.sum() / 1000, abs=0.006)
    assert 9 <= float(found.rows[0][2]) <= 13
    assert float(found.rows[0][3]) == pytest.approx(60, abs=5)
    assert "2 candidates" in found.status
    np.testing.assert_array_equal(found.mask() > 0, a_liver())  # the liver's segment stays as it was


def test_each_has_the_terminology_of_a_lesion_in_the_liver_and_a_colour_of_its_own(found):
    import vtk

    segmentation = found.case.segmentationNode.GetSegmentation()
    colors = set()
    for name in ("Lesion 1", "Lesion 2"):
        segment = segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName(name))
        entry = vtk.reference("")
        assert segment.GetTag(segment.GetTerminologyEntryTagName(), entry)
        entry = str(entry)
        assert "SCT^52988006^Lesion" in entry
        assert entry.startswith("DICOM CID 7159 Lesion Segmentation Types~")  # no list of Slicer has it
        assert "SCT^10200004^Liver" in entry
        colors.add(segment.GetColor())
    assert len(colors) == 2


def test_accepting_and_rejecting_by_button_or_key_is_one_undo_step_each(found):
    from PySide6.QtCore import Qt

    found.ui.lesionsSection.collapsed = False
    found.ui.lesionTable.selectRow(0)
    found.click("rejectLesionButton")
    assert found.statuses() == ["rejected", "candidate"]
    assert list(found.segments()) == ["Lesion 2"]
    assert found.logic.lesionClicks.selected == 2  # on to the next candidate
    press(found, Qt.Key_A)
    assert found.statuses() == ["rejected", "accepted"]
    found.click("undoLesionButton")
    found.click("undoLesionButton")
    assert found.statuses() == ["candidate", "candidate"]
    assert sorted(found.segments()) == ["Lesion 1", "Lesion 2"]
    found.click("redoLesionButton")
    assert found.statuses() == ["rejected", "candidate"]
    assert "Reject lesion" in found.status


def test_msam_a_lesion_is_refined_by_a_button_in_one_undo_step(panel):
    panel.give_liver(a_ct_node(spacing=5.0))  # so large that the network sees enough of its lesions
    panel.find()
    found = panel
    state = found.list.state(1)
    wrong = state.mask.on(a_liver().shape) & (np.indices(a_liver().shape)[2] <= MIDDLE[2])  # half of it is missing
    found.list.apply("Cut", {1: replace(state, mask=BoxedMask.pack(wrong))})
    found.ui.lesionsSection.collapsed = False
    assert not found.ui.refineLesionButton.enabled  # nothing is selected
    found.ui.lesionTable.selectRow(0)
    before = found.segments()["Lesion 1"]
    found.click("refineLesionButton")
    found.wait()
    after = found.segments()["Lesion 1"]
    assert (after != before).any(), found.status
    assert found.status == f"Lesion 1 now has {after.sum()} voxels; before: {before.sum()}."
    assert found.statuses() == ["candidate", "candidate"]
    assert float(found.rows[0][1]) == pytest.approx(0.125 * after.sum(), abs=0.006)
    found.click("undoLesionButton")
    np.testing.assert_array_equal(found.segments()["Lesion 1"], before)


def test_a_row_shows_its_lesion_in_every_view(found):
    found.ui.lesionsSection.collapsed = False
    for row, middle in enumerate((MIDDLE, OTHER)):
        found.logic.workspace.views.jumpTo(2)
        found.ui.lesionTable.selectRow(row)
        assert abs(found.logic.workspace.views.current - middle[0]) <= 2


def test_clicks_add_grow_and_shrink_in_one_step_each(panel):
    panel.give_liver(a_ct_node())
    panel.click("addLesionButton")
    panel.click_at(MIDDLE)
    assert panel.statuses() == ["accepted"], panel.status
    first = panel.segments()["Lesion 1"]
    assert dice(first, LESIONS[0]) > 0.85
    assert panel.ui.addLesionButton.checked

    panel.click("growLesionButton")
    panel.click_at(OTHER)
    both = panel.segments()["Lesion 1"]
    assert dice(both, LESIONS[0] | LESIONS[1]) > 0.85
    assert len(panel.rows) == 1

    panel.click("takeLesionButton")
    panel.click_at((MIDDLE[0], MIDDLE[1], MIDDLE[2] - 5))
    taken = panel.segments()["Lesion 1"]
    assert not (taken & ~both).any()
    assert 0 < (both & ~taken).sum() < 0.3 * both.sum()
    assert float(panel.rows[0][1]) == pytest.approx(taken.sum() / 1000, abs=0.006)

    for expected in (both, first):
        panel.click("undoLesionButton")
        np.testing.assert_array_equal(panel.segments()["Lesion 1"], expected)
    panel.click("undoLesionButton")
    assert panel.rows == []
    assert panel.segments() == {}
    assert panel.logic.lesionClicks.selected == 0


def test_a_click_on_a_candidate_accepts_it_and_two_lesions_stay_two(found):
    found.click("addLesionButton")
    found.click_at(OTHER)
    assert found.statuses() == ["candidate", "accepted"]
    assert len(found.segments()) == 2
    masks = list(found.segments().values())
    assert not (masks[0] & masks[1]).any()


def test_a_click_on_nothing_is_refused_in_one_sentence_and_changes_nothing(panel):
    panel.give_liver(a_ct_node())
    panel.click("addLesionButton")
    panel.click_at((8, 8, 8))
    assert "nothing that stands out" in panel.status
    assert panel.rows == []
    panel.click_at(MIDDLE)  # the mode is still on
    assert len(panel.rows) == 1


def test_escape_ends_the_mode_and_leaves_no_node_behind(panel, scene):
    import slicer
    from PySide6.QtCore import Qt
    from slicer_host import mouse

    panel.give_liver(a_ct_node())
    panel.click("addLesionButton")
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    slicer.util.mainWindow().show()
    press(panel, Qt.Key_Escape)
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert not panel.ui.addLesionButton.checked
    panel.click("addLesionButton")
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)  # by Slicer's own tool bar
    mouse.wait_until(lambda: not panel.ui.addLesionButton.checked, 5)
    mouse.wait_until(lambda: not slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode"), 5)
    theirs = scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "theirs")
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsLineNode")
    selection.SetActivePlaceNodeID(theirs.GetID())
    panel.click("addLesionButton")
    panel.click("addLesionButton")
    assert selection.GetActivePlaceNodeID() == theirs.GetID()  # what the user would place next stays
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    slicer.util.mainWindow().hide()


def test_a_second_search_keeps_the_users_decisions(found):
    found.ui.lesionsSection.collapsed = False
    found.ui.lesionTable.selectRow(0)
    found.click("rejectLesionButton")
    liver = a_liver() & ~ball(OTHER, 12)  # the liver is segmented again, without one lesion
    found.give_liver(found.case.volumeNode, liver)
    assert found.statuses() == ["rejected", "candidate"]
    assert "has changed" in found.ui.lesionLabel.text
    found.find()
    assert found.statuses() == ["rejected"]
    found.click("undoLesionButton")
    assert found.statuses() == ["rejected", "candidate"]


def test_a_lesion_painted_by_hand_is_taken_over_and_measured(found):
    import slicer
    from slicer_host import mouse

    case, before = found.case, found.segments()["Lesion 2"]
    painted = before | ball(OTHER, 6)
    segmentation = case.segmentationNode.GetSegmentation()
    name = segmentation.GetSegmentIdBySegmentName("Lesion 2")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        painted.astype(np.uint8), case.segmentationNode, name, case.volumeNode
    )
    mouse.wait_until(lambda: found.rows[1][1] == f"{painted.sum() / 1000:.2f}", 20)
    assert found.statuses() == ["candidate", "candidate"]
    np.testing.assert_array_equal(found.segments()["Lesion 2"], painted)
    found.click("undoLesionButton")
    np.testing.assert_array_equal(found.segments()["Lesion 2"], before)

    segmentation.RemoveSegment(segmentation.GetSegmentIdBySegmentName("Lesion 1"))
    mouse.wait_until(lambda: len(found.rows) == 1, 5)
    found.click("undoLesionButton")
    assert sorted(found.segments()) == ["Lesion 1", "Lesion 2"]


def test_table_and_labelmap_contain_the_accepted_lesions(found, tmp_path):
    import SimpleITK as sitk

    found.ui.lesionsSection.collapsed = False
    assert not found.ui.lesionFileButton.enabled
    found.ui.lesionTable.selectRow(1)
    found.click("acceptLesionButton")
    found.loaded.widget.dialogs.fileToSave = lambda _title, name, _formats: str(tmp_path / name)
    found.click("lesionTableFileButton")
    assert found.status == "Wrote ct_lesions.csv without 1 candidates that were not accepted."
    (row,) = csv.DictReader((tmp_path / "ct_lesions.csv").open())
    assert (row["name"], row["label"]) == ("Lesion 2", "3")
    found.logic.lesionExport.table(str(tmp_path / "lesions.json"))
    document = json.loads((tmp_path / "lesions.json").read_text())
    assert document["schema"] == "sammix-lesions/1"
    assert document["total_ml"] == pytest.approx(float(row["volume_ml"]))
    found.click("lesionFileButton")
    found.wait()
    labelmap = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "ct_lesions.seg.nrrd")))
    np.testing.assert_array_equal(labelmap == 3, found.segments()["Lesion 2"])
    np.testing.assert_array_equal(labelmap == 1, a_liver() & ~found.segments()["Lesion 2"])
    assert set(np.unique(labelmap)) == {0, 1, 3}


def test_a_loaded_scene_restores_the_lesions_and_work_continues(found, scene, tmp_path):
    import slicer
    from slicer_host import mouse

    found.ui.lesionsSection.collapsed = False
    found.ui.lesionTable.selectRow(0)
    found.click("rejectLesionButton")
    found.click("addLesionButton")
    found.click_at(OTHER)
    rows, segments = found.rows, found.segments()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(False)
    slicer.app.processEvents()
    assert found.rows == []
    assert not found.ui.addLesionButton.checked
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    slicer.app.processEvents()
    assert found.rows == rows
    mouse.wait_until(lambda: found.list.segments is not None, 5)
    found.logic.tick()
    assert found.rows == rows  # nothing is mistaken for a change by hand
    again = found.segments()
    assert list(again) == list(segments)
    np.testing.assert_array_equal(again["Lesion 2"], segments["Lesion 2"])
    found.ui.lesionTable.selectRow(0)
    found.click("acceptLesionButton")
    assert found.statuses() == ["accepted", "accepted"]
    assert len(found.segments()) == 2


def test_lesions_follow_the_liver_into_another_segmentation(found):
    import slicer

    first = found.case.segmentationNode
    theirs = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "theirs")
    theirs.CreateDefaultDisplayNodes()
    theirs.GetSegmentation().AddEmptySegment("kidney", "kidney")
    found.case.useSegmentation(theirs)
    found.logic.tick()
    titles = [theirs.GetSegmentation().GetNthSegment(n).GetName() for n in range(4)]
    assert titles == ["kidney", "liver", "Lesion 1", "Lesion 2"]
    assert first.GetSegmentation().GetNumberOfSegments() == 3  # what was there stays


def test_no_lesion_is_lost_when_the_process_dies(load_module, app):
    from slicer_host import mouse

    panel = LesionPanel(load_module(MODULE))
    panel.logic.workspace.update(keepCorrections=False)
    panel.give_liver(a_ct_node())
    panel.find()
    rows = panel.rows
    panel.click("addLesionButton")
    worker = panel.logic.worker
    worker._supervisor._process.kill()
    panel.click_at(OTHER)
    panel.wait()
    assert [row[0] for row in panel.rows] == [row[0] for row in rows]
    mouse.wait_until(lambda: worker.hello is not None, 60)
    panel.click_at(OTHER)
    assert panel.statuses() == ["candidate", "accepted"]


def test_without_a_liver_every_button_is_disabled(panel):
    panel.choose(a_ct_node())
    panel.ui.lesionsSection.collapsed = False
    for name in ("findLesionsButton", "addLesionButton", "acceptLesionButton", "undoLesionButton", "lesionFileButton"):
        assert not getattr(panel.ui, name).enabled, name
    assert panel.ui.lesionLabel.text == "Segment the liver first."


def test_lesions_appear_and_disappear_with_the_liver_in_the_3d_view(found):
    import slicer

    segmentation, display = found.case.segmentationNode.GetSegmentation(), found.case.segmentationNode.GetDisplayNode()

    def surfaces():
        return {
            segmentation.GetSegment(name).GetName(): segmentation.GetSegment(name).GetRepresentation("Closed surface")
            for name in segmentation.GetSegmentIDs()
            if display.GetSegmentVisibility3D(name)
        }

    found.click("surfaceButton")
    found.wait()
    assert sorted(surfaces()) == ["Lesion 1", "Lesion 2", "liver"]
    for name, middle in (("Lesion 1", MIDDLE), ("Lesion 2", OTHER)):
        x, _, y, _, z, _ = surfaces()[name].GetBounds()
        i, j, k = 20 - x, 30 - y, z + 40
        assert np.abs(np.array([k + 5, j - 5, i - 5]) - middle).max() < 3
    view = slicer.app.layoutManager().threeDWidget(0).threeDView().offscreen
    view.render()
    found.ui.lesionsSection.collapsed = False
    found.click("addLesionButton")
    found.click_at(MIDDLE)
    before = surfaces()["Lesion 1"].GetNumberOfPoints()
    found.click("takeLesionButton")
    found.click_at((MIDDLE[0], MIDDLE[1], MIDDLE[2] - 4))
    assert 0 < surfaces()["Lesion 1"].GetNumberOfPoints() < before
    found.click("surfaceButton")
    assert surfaces() == {}


def test_a_stopped_search_changes_nothing(panel, monkeypatch):
    panel.give_liver(a_ct_node())
    panel.ui.lesionsSection.collapsed = False
    panel.click("addLesionButton")
    panel.click_at(MIDDLE)
    rows = panel.rows
    with monkeypatch.context() as patch:
        patch.setattr(panel.logic.worker, "poll", lambda: None)  # so that the search is still on its way
        panel.click("findLesionsButton")
        panel.click("stopLesionButton")
    panel.wait()
    assert panel.status == "Find candidates: stopped."
    assert panel.rows == rows


def test_clicks_end_when_another_module_is_opened(panel):
    panel.give_liver(a_ct_node())
    panel.click("addLesionButton")
    panel.loaded.widget.exit()
    assert not panel.ui.addLesionButton.checked


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0)], ids=["axial", "stacked along another axis"])
def test_lesions_stay_in_place_on_every_grid_and_under_every_transform(panel, axes):
    """The same body, its array turned and its node under a transform: the same places in the world."""
    import slicer

    node = a_ct_node()
    array, matrix = slicer.util.arrayFromVolume(node), slicer.util.arrayFromVTKMatrix(_matrix_of(node))
    order = [2 - axes[2 - n] for n in range(3)]  # of the array's axes (k, j, i)
    turned = matrix.copy()
    turned[:3, :3] = matrix[:3, list(axes)]
    angle = np.deg2rad(12)
    transform = np.eye(4)
    transform[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    other = slicer.util.addVolumeFromArray(np.ascontiguousarray(array.transpose(order)), ijkToRAS=turned, name="other")
    mover = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    mover.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(transform))
    other.SetAndObserveTransformNodeID(mover.GetID())

    masks = {}
    for volume, liver in ((node, a_liver()), (other, a_liver().transpose(order))):
        panel.give_liver(volume, liver)
        panel.find()
        masks[volume.GetName()] = panel.segments()
    for name in ("Lesion 1", "Lesion 2"):
        assert dice(masks["other"][name], masks["ct"][name].transpose(order)) > 0.95
    i, j, k = np.array(ijk(MIDDLE))[list(axes)].tolist()
    panel.click("addLesionButton")
    panel.click_at((k, j, i))
    assert panel.statuses() == ["accepted", "candidate"], panel.status


def test_a_hundred_lesions_appear_and_disappear_without_freezing_the_panel(panel):
    import time

    from slicer_host import mouse

    from sammix_core.lesions.state import LesionState, LesionStatus
    from sammix_core.masks.packed_mask import BoxedMask

    panel.give_liver(a_ct_node())
    panel.ui.lesionsSection.collapsed = False
    spots = [(k, j, i) for k in range(4, 20, 4) for j in range(6, 31, 5) for i in range(5, 40, 7)]
    masks = [BoxedMask.pack(np.ones((2, 3, 3)), spot) for spot in spots]
    states = {
        number: LesionState(number, LesionStatus.CANDIDATE, mask, start=mask) for number, mask in enumerate(masks, 1)
    }
    began = time.process_time()
    panel.list.apply("many", states)
    assert time.process_time() - began < 0.1
    mouse.wait_until(lambda: len(panel.list.segments.ids) == len(states), 30)
    mouse.wait_until(lambda: panel.rows[-1][1] == "0.02", 30)  # and they are measured
    panel.click("undoLesionButton")
    mouse.wait_until(lambda: not panel.list.segments.ids, 30)
    assert panel.segments() == {}


def _matrix_of(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix
