"""What a radiologist does, from the click on "Segment liver" to the exported labelmap, on a real CT."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from real_data import real_data

FIRST, COUNT = 14, 5  # slices through the middle of the liver


@pytest.fixture(scope="module")
def ct_file(tmp_path_factory):
    """Five slices of a real CT, as a file."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(real_data("crlm1004_ct.nii.gz")))
    path = tmp_path_factory.mktemp("ct") / "ct.nii.gz"
    sitk.WriteImage(image[:, :, FIRST : FIRST + COUNT], str(path))
    return path


@pytest.fixture
def a_ct(app, ct_file):
    import slicer

    return slicer.util.loadVolume(str(ct_file))


def sources(panel):
    return {box.slice_index: box.source.value for box in panel.case.boxes().every_box}


def test_from_the_click_to_the_labelmap(panel, a_ct, ct_file, tmp_path, scene):
    import slicer
    from slicer_host import mouse

    from sammix_core.boxes import BoxTrack

    # Segment liver: every slice of this slab has a box and a mask, and the window is the abdomen's.
    panel.segment(a_ct)
    automatic = panel.mask()
    assert threading.enumerate() == [threading.main_thread()]  # a Python thread would stand still in Slicer
    assert sources(panel) == dict.fromkeys(range(COUNT), "auto")
    assert all(plane.any() for plane in automatic)
    assert a_ct.GetDisplayNode().GetWindow() == 400
    assert panel.ui.sliceTable.rowCount == COUNT
    mouse.wait_until(lambda: panel.ui.sliceTable.item(3, 2).text() == "auto", 5)
    assert float(panel.ui.sliceTable.item(3, 1).text()) > 0.9

    # Drag the right edge of one box inwards: that slice's mask changes, and no other.
    panel.go_to(3)
    (before,) = panel.case.state(3).boxes
    panel.drag_edge("i_max", -60)
    panel.wait()
    (box,) = panel.case.state(3).boxes
    assert box.edges[:2] == before.edges[:2]
    assert box.j_max == before.j_max
    assert abs(box.i_max - (before.i_max - 60)) <= 2  # a pixel of the view is more than a voxel wide
    dragged = panel.mask()
    assert [k for k in range(COUNT) if not np.array_equal(dragged[k], automatic[k])] == [3]
    assert dragged[3].any()
    assert sources(panel)[3] == "edited"

    # One step back, and again.
    panel.click("undoButton")
    np.testing.assert_array_equal(panel.mask(), automatic)
    assert panel.case.state(3).boxes == (before,)
    panel.click("redoButton")
    np.testing.assert_array_equal(panel.mask(), dragged)

    # A second box, and the slices between follow.
    panel.go_to(0)
    panel.drag_edge("j_max", -40)
    panel.wait()
    panel.click("interpolateButton")
    panel.wait()
    assert sources(panel) == {
        0: "edited",
        1: "interpolated",
        2: "interpolated",
        3: "edited",
        **dict.fromkeys(range(4, COUNT), "auto"),
    }
    interpolated = panel.mask()
    np.testing.assert_array_equal(interpolated[4:], automatic[4:])
    boxes = panel.case.boxes()

    # Segment liver once more: what a person made stays.
    panel.click("segmentButton")
    panel.wait()
    assert panel.case.boxes() == boxes
    np.testing.assert_array_equal(panel.mask(), interpolated)

    # The command line makes the same mask of the same boxes.
    panel.logic.export.boxes(str(tmp_path / "boxes.json"))
    panel.logic.export.labelmapFile(str(tmp_path / "liver.nii.gz"))
    panel.wait()
    track = BoxTrack.read(tmp_path / "boxes.json")
    assert track == boxes
    command = [sys.executable, "-m", "sammix_core.cli", "segment", str(ct_file), "--boxes-in", "boxes.json"]
    subprocess.run([*command, "-o", "by_command.nii.gz"], cwd=tmp_path, check=True)
    by_command = read_labels(tmp_path / "by_command.nii.gz")
    np.testing.assert_array_equal(interpolated, by_command)
    np.testing.assert_array_equal(read_labels(tmp_path / "liver.nii.gz"), by_command)

    # The scene brings everything back, and work goes on from there.
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    scene.Clear(False)
    slicer.app.processEvents()
    assert panel.case is None
    slicer.util.loadScene(path)
    slicer.app.processEvents()
    assert panel.case is not None
    np.testing.assert_array_equal(panel.mask(), interpolated)
    assert panel.case.boxes() == boxes
    panel.go_to(3)
    panel.click("plotButton")
    assert plotted_score(panel, 3) == pytest.approx(panel.case.state(3).scores.score)
    edited = panel.case.state(3).scores.score
    panel.click("resetBoxButton")
    panel.wait()
    after = panel.mask()
    np.testing.assert_array_equal(after[3], automatic[3])
    np.testing.assert_array_equal(np.delete(after, 3, axis=0), np.delete(interpolated, 3, axis=0))
    assert panel.case.state(3).scores.score != edited
    mouse.wait_until(lambda: plotted_score(panel, 3) == pytest.approx(panel.case.state(3).scores.score), 5)


def plotted_score(panel, index):
    from SAMMixSlicerLib.scene import case_node

    table = panel.case.node.GetNodeReference(case_node.TABLE)
    return table.GetTable().GetColumnByName("Score").GetValue(index)


def read_labels(path):
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_a_cancelled_run_keeps_finished_slices_and_can_be_continued(panel, a_ct):
    import time

    from slicer_host import mouse

    panel.choose(a_ct)
    panel.click("segmentButton")
    # The table fills as slices are searched, before there is a mask.
    mouse.wait_until(lambda: any(panel.ui.sliceTable.item(row, 1).text() for row in range(COUNT)), 600)
    assert not any(state.mask for state in panel.case.states.values())
    mouse.wait_until(lambda: len(panel.case.corrected()) == 0 and any(s.mask for s in panel.case.states.values()), 600)
    start = time.monotonic()
    panel.click("cancelButton")
    assert "Stopping" in panel.status
    assert time.monotonic() - start < 1
    panel.wait()
    done = [index for index, state in panel.case.states.items() if state.mask is not None]
    assert 0 < len(done) <= COUNT
    kept = panel.mask()
    assert [k for k in range(COUNT) if kept[k].any()] == sorted(done)

    panel.click("segmentButton")
    panel.wait()
    whole = panel.mask()
    assert all(plane.any() for plane in whole)
    for index in done:
        np.testing.assert_array_equal(whole[index], kept[index])


def test_exported_files_contain_mask_boxes_and_measurements(panel, a_ct, tmp_path):
    import slicer

    for index in range(COUNT):
        panel.draw(a_ct, index, left=200 + index)
    mask = panel.mask()
    assert mask.any(axis=(1, 2)).all()

    panel.click("labelmapButton")
    node = slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode")[0]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), mask)
    colors = node.GetDisplayNode().GetColorNode()
    color = [0.0] * 4
    colors.GetColor(1, color)
    segment = panel.case.segmentationNode.GetSegmentation().GetSegment(panel.case.segmentId)
    assert colors.GetColorName(1) == segment.GetName()
    assert color[:3] == pytest.approx(segment.GetColor(), abs=0.01)

    asked = []
    panel.loaded.widget.dialogs.fileToSave = lambda _title, name, _formats: asked.append(name) or str(tmp_path / name)
    panel.click("fileButton")
    panel.click("boxesFileButton")
    panel.wait()
    assert panel.status == "Wrote ct_liver.nii.gz."
    assert asked == ["ct_liver.nii.gz", "ct_boxes.json"]
    np.testing.assert_array_equal(read_labels(tmp_path / "ct_liver.nii.gz"), mask)
    assert len(json.loads((tmp_path / "ct_boxes.json").read_text())["boxes"]) == COUNT
    for name in ("liver.nrrd", "liver.seg.nrrd"):
        panel.logic.export.labelmapFile(str(tmp_path / name))
    panel.wait()
    again = slicer.util.loadSegmentation(str(tmp_path / "liver.seg.nrrd"))
    segment_id = again.GetSegmentation().GetNthSegmentID(0)
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(again, segment_id, a_ct), mask)

    panel.click("measureButton")
    panel.wait()
    table = panel.ui.measurementTable
    rows = {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount)}
    millilitres = mask.sum() * np.prod(a_ct.GetSpacing()) / 1000
    assert float(rows["Volume (mL)"]) == pytest.approx(millilitres, abs=0.06)
    hu = slicer.util.arrayFromVolume(a_ct)[mask > 0]
    assert float(rows["Mean (HU)"]) == pytest.approx(hu.mean(), abs=0.06)
    assert float(rows["SD (HU)"]) == pytest.approx(hu.std(), abs=0.06)
    assert rows["Slices"] == str(COUNT)
