"""Manual corrections: noticed, marked, protected, undone, saved in the scene. Computes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from panel_driver import a_drawn_ct

SHAPE = (6, 60, 70)


@pytest.fixture
def panel(panel):
    # Keeping them to learn from would load a model; test_module_finetune.py does that.
    panel.logic.workspace.update(keepCorrections=False)
    return panel


@pytest.fixture
def a_ct(app):
    return a_drawn_ct(SHAPE, pixel_mm=4.0)


def paint_by_hand(panel, index, rows=slice(0, 5)):
    """Adds to the mask through Slicer's own way of changing a segment."""
    import slicer

    case, mask = panel.case, panel.mask()
    mask[index, rows] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, case.segmentationNode, case.segmentId, case.volumeNode)
    return mask


def wait_for_notice(panel, slices):
    from slicer_host import mouse

    mouse.wait_until(lambda: panel.case.corrected() == slices, 5)


def test_a_slice_painted_by_hand_is_noticed_and_marked(panel, a_ct):
    from slicer_host import mouse

    panel.draw(a_ct, 2)
    painted = paint_by_hand(panel, 4)
    wait_for_notice(panel, [4])

    np.testing.assert_array_equal(panel.mask(), painted)
    np.testing.assert_array_equal(panel.case.state(4).mask.unpack(), painted[4])
    assert panel.case.state(2).corrected is False
    assert "slice 4" in panel.ui.correctLabel.text
    mouse.wait_until(lambda: panel.ui.sliceTable.item(4, 4).text() == "corrected", 5)


def test_masks_written_by_the_module_are_not_corrections(panel, a_ct):
    import slicer

    panel.draw(a_ct, 2)
    panel.draw(a_ct, 3, left=30)
    panel.case.segmentationNode.GetSegmentation().GetSegment(panel.case.segmentId).SetColor(0, 0, 1)
    panel.logic.corrections.check(panel.case)
    slicer.app.processEvents()
    assert panel.case.corrected() == []


def test_a_correction_can_be_undone_and_redone(panel, a_ct):
    panel.draw(a_ct, 2)
    before = panel.mask()
    painted = paint_by_hand(panel, 2)
    wait_for_notice(panel, [2])
    assert panel.ui.undoButton.toolTip == "Undo: Manual correction"

    panel.click("undoButton")
    np.testing.assert_array_equal(panel.mask(), before)
    assert panel.case.corrected() == []
    assert panel.case.state(2).scores.score == 0.9
    panel.click("redoButton")
    np.testing.assert_array_equal(panel.mask(), painted)
    assert panel.case.corrected() == [2]


def test_a_corrected_slice_is_deleted_only_after_confirmation(panel, a_ct):
    panel.draw(a_ct, 2)
    painted = paint_by_hand(panel, 2)
    wait_for_notice(panel, [2])
    panel.go_to(2)
    asked = []
    panel.loaded.widget.dialogs.confirm = lambda question: asked.append(question)

    panel.click("deleteBoxButton")
    assert asked == ["Slice 2 was corrected by hand. Replace its mask?"]
    np.testing.assert_array_equal(panel.mask(), painted)

    panel.loaded.widget.dialogs.confirm = lambda _question: True
    panel.click("deleteBoxButton")
    panel.wait()
    assert not panel.mask()[2].any()
    assert panel.case.state(2).deleted


def test_a_released_slice_keeps_its_mask_and_loses_its_protection(panel, a_ct):
    panel.draw(a_ct, 2)
    painted = paint_by_hand(panel, 2)
    wait_for_notice(panel, [2])
    panel.go_to(3)
    assert not panel.ui.releaseButton.enabled
    panel.go_to(2)
    panel.click("releaseButton")
    assert panel.case.corrected() == []
    np.testing.assert_array_equal(panel.mask(), painted)


def test_the_segment_editor_opens_on_the_segment(panel, a_ct):
    import slicer

    assert not panel.ui.paintButton.enabled
    panel.draw(a_ct, 2)
    panel.click("paintButton")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    assert editor.segmentationNode() is panel.case.segmentationNode
    assert editor.sourceVolumeNode() is a_ct
    assert editor.currentSegmentID() == panel.case.segmentId


def test_corrections_are_saved_in_the_scene_and_come_back(panel, a_ct, scene, tmp_path):
    import slicer

    panel.draw(a_ct, 2)
    painted = paint_by_hand(panel, 4)
    wait_for_notice(panel, [4])
    panel.logic.workspace.update(mapOpacity=0.25, showOutline=False)
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(False)
    slicer.app.processEvents()
    assert panel.case is None
    assert panel.logic.workspace.parameter.mapOpacity == 0.4
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    slicer.app.processEvents()

    assert panel.case.corrected() == [4]
    np.testing.assert_array_equal(panel.mask(), painted)
    assert panel.case.state(2).scores.score == 0.9
    assert panel.logic.workspace.parameter.mapOpacity == 0.25
    assert not panel.ui.outlineCheck.checked
    assert panel.ui.volumeSelector.currentNode().GetName() == "ct"
    paint_by_hand(panel, 0)
    wait_for_notice(panel, [0, 4])


def test_a_segment_that_was_removed_is_no_error(panel, a_ct):
    import slicer

    panel.draw(a_ct, 2)
    panel.case.segmentationNode.GetSegmentation().RemoveSegment(panel.case.segmentId)
    slicer.app.processEvents()
    panel.logic.tick()
    assert panel.case.labelmap is None
    panel.click("measureButton")
    assert "no mask" in panel.status


def test_two_volumes_have_their_own_slices(panel, a_ct):
    other = a_drawn_ct((5, 60, 70), seed=1, pixel_mm=4.0, name="other")
    panel.draw(a_ct, 2)
    first = panel.case
    panel.draw(other, 4)
    paint_by_hand(panel, 1)
    wait_for_notice(panel, [1])
    second = panel.case
    assert panel.ui.sliceTable.rowCount == 5
    assert first.corrected() == []
    assert first.segmentationNode is not second.segmentationNode

    # The selector alone: the views follow.
    panel.ui.volumeSelector.setCurrentNode(a_ct)
    assert panel.case is first
    assert panel.red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == a_ct.GetID()
    assert panel.logic.workspace.views.current is not None
    assert panel.ui.sliceTable.rowCount == 6
    assert panel.ui.segmentationSelector.currentNode() is first.segmentationNode
    panel.logic.actions.undo()  # nothing of the first was done
    assert second.corrected() == [1]


def test_the_users_own_segmentation_gets_one_more_segment_and_a_new_one_on_demand(panel, a_ct):
    import slicer

    theirs = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "theirs")
    theirs.CreateDefaultDisplayNodes()
    theirs.GetSegmentation().AddEmptySegment("kidney", "kidney")
    panel.draw(a_ct, 2)
    mask = panel.mask()
    first = panel.case.segmentationNode
    case, workspace = panel.case, panel.logic.workspace

    panel.ui.segmentationSelector.setCurrentNode(theirs)
    case.useSegmentation(workspace._segmentationChoice, workspace._wantsNewSegmentation)
    assert case.segmentationNode is theirs
    assert [theirs.GetSegmentation().GetNthSegment(place).GetName() for place in range(2)] == ["kidney", "liver"]
    np.testing.assert_array_equal(panel.mask(), mask)
    assert first.GetSegmentation().GetNumberOfSegments() == 1  # what was there stays

    panel.ui.segmentationSelector.setCurrentNode(None)
    case.useSegmentation(workspace._segmentationChoice, workspace._wantsNewSegmentation)
    assert case.segmentationNode not in (theirs, first)
    np.testing.assert_array_equal(panel.mask(), mask)


def test_changed_voxels_are_noticed_and_an_image_that_was_only_marked_modified_is_not(panel, a_ct):
    import slicer
    from SAMMixSlicerLib.logic.volume_source import VolumeSource

    source = VolumeSource(a_ct)
    first = source.fingerprint()
    a_ct.GetImageData().Modified()
    assert source.fingerprint() == first
    slicer.util.arrayFromVolume(a_ct)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(a_ct)
    second = source.fingerprint()
    assert second != first
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[0, 3] = 3
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    a_ct.SetAndObserveTransformNodeID(transform.GetID())
    assert source.fingerprint() not in (first, second)


def test_a_volume_that_was_rotated_onto_its_side_is_refused(panel, a_ct):
    import slicer

    panel.draw(a_ct, 2)
    turned = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(turned))
    a_ct.SetAndObserveTransformNodeID(transform.GetID())
    panel.click("segmentButton")
    assert "was rotated" in panel.status
    assert not panel.logic.actions.isBusy
