"""What a scene keeps of a case, through each way in which Slicer saves a scene, and from one to the other."""

from __future__ import annotations

import os
import re
import shutil

import numpy as np
import pytest

SHAPE = (6, 20, 24)
GUIDANCE = bytes(range(256)) * 40


@pytest.fixture
def a_case(app):
    """A case node with boxes and guidance, and the mask in a segmentation."""
    import slicer
    from SAMMixSlicerLib.scene import case_node

    from sammix_core.boxes import Box
    from sammix_core.segmentation.slice_state import SliceState

    volume = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), ijkToRAS=np.diag([-1.0, -1, 3, 1]), name="ct")
    node = case_node.newCaseNode(volume)
    state = SliceState(3, boxes=(Box(3, 1, 2, 5, 6),), automatic_boxes=(Box(3, 1, 2, 5, 7),), corrected=True)
    case_node.writeStates(node, {3: state}, {3: 0.25}, "liver/1.0.0")
    case_node.writeGuidance(node, GUIDANCE)
    return {3: state}


def save_bundle(path):
    import slicer

    slicer.util.saveScene(str(path.with_suffix(".mrb")))
    return path.with_suffix(".mrb")


def save_in_dialog(path):
    from slicer_host.scene.scene_files import save_in_dialog as save

    path.parent.mkdir(exist_ok=True)
    save(str(path.with_suffix(".mrml")))
    names = re.findall(r'fileName="([^"]+)"', path.with_suffix(".mrml").read_text())
    assert all(name == os.path.basename(name) for name in names), f"files elsewhere: {names}"
    return path.with_suffix(".mrml")


def load(path):
    import slicer

    slicer.mrmlScene.Clear(False)
    messages = slicer.vtkMRMLMessageCollection()
    if path.suffix == ".mrb":
        assert slicer.mrmlScene.ReadFromMRB(str(path), True, messages)
    else:
        slicer.mrmlScene.SetURL(str(path))
        slicer.mrmlScene.SetRootDirectory(str(path.parent))
        assert slicer.mrmlScene.Connect(messages)
    assert messages.GetAllMessagesAsString() == ""


def check(states):
    from SAMMixSlicerLib.scene import case_node

    (node,) = case_node.caseNodes()
    assert node.GetNodeReference(case_node.VOLUME).GetName() == "ct"
    assert node.GetNodeReference(case_node.VOLUME).GetImageData().GetDimensions() == SHAPE[::-1]
    assert case_node.readStates(node) == (states, {3: 0.25}, "liver/1.0.0")
    assert case_node.readGuidance(node) == GUIDANCE


@pytest.mark.parametrize("save", [save_bundle, save_in_dialog])
@pytest.mark.parametrize("save_again", [None, save_bundle, save_in_dialog])
def test_a_case_comes_back_from_every_way_of_saving(a_case, tmp_path, save, save_again):
    path = save(tmp_path / "first" / "scene") if save is save_in_dialog else save(tmp_path / "scene")
    load(path)
    check(a_case)
    if save_again is not None:
        again = save_again(tmp_path / "second" / "scene" if save_again is save_in_dialog else tmp_path / "again")
        import slicer

        slicer.mrmlScene.Clear(False)
        shutil.rmtree(tmp_path / "first", ignore_errors=True)  # nothing may point there any more
        load(again)
        check(a_case)


def test_the_guidance_has_no_file_and_no_node_of_its_own(a_case, scene, tmp_path):
    import slicer

    assert slicer.util.getNodesByClass("vtkMRMLTextNode") == []
    save_in_dialog(tmp_path / "scene" / "scene")
    assert sorted(os.listdir(tmp_path / "scene")) == ["ct.nrrd", "scene.mrml"]


def test_guidance_that_was_damaged_in_the_file_is_none(a_case):
    from SAMMixSlicerLib.scene import case_node

    (node,) = case_node.caseNodes()
    node.SetAttribute("SAMMix.Guidance", "no base64!")
    assert case_node.readGuidance(node) is None
    case_node.writeGuidance(node, None)
    assert case_node.readGuidance(node) is None


def test_the_save_dialog_writes_no_hidden_node(scene, tmp_path):
    from slicer_host.scene.scene_files import save_in_dialog as save

    for name, is_hidden, is_saved in (("seen", 0, 1), ("hidden", 1, 1), ("not saved", 0, 0)):
        node = scene.AddNewNodeByClass("vtkMRMLTextNode", name)
        node.SetText("x" * 1000)
        node.SetHideFromEditors(is_hidden)
        node.SetSaveWithScene(is_saved)
    assert save(str(tmp_path / "scene.mrml")) == ["seen"]
    # From 5.12 on, hidden nodes that are new or changed come into a folder "_Private" with the scene.
    assert {"scene.mrml", "seen.txt"} <= set(os.listdir(tmp_path)) <= {"scene.mrml", "seen.txt", "scene_Private"}


def test_a_text_node_with_a_storage_node_is_not_in_the_scene_file(scene, tmp_path):
    import slicer

    for name in ("with", "without"):
        node = scene.AddNewNodeByClass("vtkMRMLTextNode", name)
        node.SetText(f"text of the node {name} storage")
        if name == "with":
            node.SetForceCreateStorageNode(slicer.vtkMRMLTextNode.CreateStorageNodeAlways)
            node.AddDefaultStorageNode()
    slicer.util.saveScene(str(tmp_path / "scene.mrml"))
    xml = (tmp_path / "scene.mrml").read_text()
    assert "text of the node without storage" in xml
    assert "text of the node with storage" not in xml
