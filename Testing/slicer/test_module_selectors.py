"""What the selectors show and what the module takes for the user's choice, while nodes and whole scenes come and go.

Slicer's node box emits much that nobody has chosen; slicer_host/widgets/node_combo_box.py says what, and why.
"""

from __future__ import annotations

import pytest
from panel_driver import a_drawn_ct

SHAPE = (4, 64, 72)


@pytest.fixture
def a_ct(app):
    def make(name="ct"):
        return a_drawn_ct(SHAPE, name=name)

    return make


@pytest.fixture
def a_segmentation(scene):
    def make(name):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        node.GetSegmentation().AddEmptySegment("theirs", "theirs")
        return node

    return make


def shown(panel):
    """Names of the CT and of the segmentation that the panel shows."""
    return [
        box.currentNode().GetName() if box.currentNode() is not None else None
        for box in (panel.ui.volumeSelector, panel.ui.segmentationSelector)
    ]


def node(name):
    import slicer

    return slicer.util.getNode(name)


def save_and_load(path):
    import slicer

    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(path))
    slicer.app.processEvents()


@pytest.mark.parametrize("is_cleared", [True, False])
def test_a_loaded_scene_shows_the_ct_that_was_chosen_in_it(panel, a_ct, tmp_path, is_cleared):
    import slicer

    a_ct("other")
    panel.choose(a_ct("chosen"))
    a_ct("third")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    if is_cleared:
        slicer.mrmlScene.Clear(False)
    else:
        panel.choose(node("third"))
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    slicer.app.processEvents()

    assert panel.logic.workspace.volumeNode is node("chosen")
    assert shown(panel) == ["chosen", None]
    assert panel.ui.segmentButton.enabled


def test_a_loaded_scene_shows_its_case_and_goes_on_in_its_own_segmentation(panel, a_ct, a_segmentation, tmp_path):
    a_segmentation("somebody else's")
    panel.draw(a_ct(), 2)
    ours = panel.case.segmentationNode.GetName()
    a_segmentation("another one")
    save_and_load(tmp_path / "scene.mrb")

    assert shown(panel) == ["ct", ours]
    assert panel.logic.workspace.prepareCase().segmentationNode is node(ours)
    assert node("somebody else's").GetSegmentation().GetSegmentIDs() == ("theirs",)
    assert node("another one").GetSegmentation().GetSegmentIDs() == ("theirs",)


def test_nodes_that_are_added_to_a_scene_from_a_file_change_no_choice(panel, a_ct, tmp_path):
    import slicer

    a_ct("from a file")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    panel.draw(a_ct("chosen"), 2)
    case, ours = panel.case, panel.case.segmentationNode.GetName()
    slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"), False, None)
    slicer.app.processEvents()

    # The module has one parameter node in a scene, and that of the file, without a choice, has replaced it.
    assert node("from a file") is not None
    assert panel.logic.workspace.cases.all() == [case]
    panel.choose(node("chosen"))
    assert shown(panel) == ["chosen", ours]
    assert panel.case is case


def test_a_ct_that_is_deleted_is_replaced_by_none_and_not_by_its_neighbour(panel, a_ct, scene):
    first, second = a_ct("first"), a_ct("second")
    panel.choose(second)
    scene.RemoveNode(second)

    assert panel.logic.workspace.volumeNode is None
    assert shown(panel) == [None, None]
    assert not panel.ui.segmentButton.enabled
    panel.choose(first)
    assert panel.logic.workspace.volumeNode is first


def test_a_segmentation_that_is_deleted_is_not_replaced_by_somebody_elses(panel, a_ct, a_segmentation, scene):
    theirs = a_segmentation("somebody else's")
    panel.draw(a_ct(), 2)
    scene.RemoveNode(panel.case.segmentationNode)

    assert shown(panel) == ["ct", None]
    case = panel.logic.workspace.prepareCase()
    assert case.segmentationNode not in (theirs, None)
    assert theirs.GetSegmentation().GetSegmentIDs() == ("theirs",)


def test_a_segmentation_that_was_chosen_and_deleted_before_it_was_used_is_forgotten(panel, a_ct, a_segmentation, scene):
    theirs, chosen = a_segmentation("somebody else's"), a_segmentation("chosen")
    panel.choose(a_ct())
    panel.ui.segmentationSelector.setCurrentNode(chosen)
    scene.RemoveNode(chosen)

    assert shown(panel) == ["ct", None]
    assert panel.logic.workspace.prepareCase().segmentationNode not in (theirs, chosen, None)


def test_what_happens_to_other_nodes_leaves_the_choice_alone(panel, a_ct, a_segmentation, scene):
    """A box tells its node once more when a row above it goes, or when the node has another name."""
    other_ct, ct = a_ct("other"), a_ct("ct")
    other, chosen = a_segmentation("other segmentation"), a_segmentation("chosen")
    panel.choose(ct)
    panel.ui.segmentationSelector.setCurrentNode(chosen)
    scene.RemoveNode(other_ct)
    ct.SetName("renamed")
    scene.RemoveNode(other)
    a_segmentation("new")

    assert shown(panel) == ["renamed", "chosen"]
    assert panel.logic.workspace.prepareCase().segmentationNode is chosen


def test_the_user_chooses_a_new_segmentation_beside_the_one_there_is(panel, a_ct):
    panel.draw(a_ct(), 2)
    before = panel.case.segmentationNode
    panel.ui.segmentationSelector.setCurrentNode(None)
    case = panel.logic.workspace.prepareCase()
    assert case.segmentationNode is not before
    assert shown(panel) == ["ct", case.segmentationNode.GetName()]


def test_the_list_of_cts_has_no_activation_map(panel, a_ct, scene, tmp_path, monkeypatch):
    from SAMMixSlicerLib.scene import case_node

    panel.draw(a_ct(), 2)
    monkeypatch.setattr(type(panel.case), "probabilities", property(lambda _case: {2: 0.9}))
    monkeypatch.setattr(type(panel.logic.show), "_fetchMaps", lambda _logic, _case: None)
    panel.logic.workspace.update(showMap=True)
    overlay = panel.case.node.GetNodeReference(case_node.OVERLAY)
    assert overlay is not None
    assert panel.ui.volumeSelector.nodeCount() == 1
    save_and_load(tmp_path / "scene.mrb")
    assert panel.ui.volumeSelector.nodeCount() == 1
    ours = shown(panel)
    scene.RemoveNode(panel.case.node.GetNodeReference(case_node.OVERLAY))
    assert ours[0] == "ct"
    assert shown(panel) == ours


def test_a_closed_scene_takes_its_settings_with_it(panel, a_ct, scene):
    panel.choose(a_ct())
    panel.logic.workspace.update(showMap=True, showFill=False, mapOpacity=0.8, newModel="another")
    assert panel.ui.mapCheck.checked
    scene.Clear(False)

    default = type(panel.logic.workspace.parameter)()
    assert panel.logic.workspace.parameter == default
    assert panel.ui.mapCheck.checked == default.showMap
    assert panel.ui.fillCheck.checked == default.showFill
    assert panel.ui.mapOpacitySlider.value == pytest.approx(default.mapOpacity)
    assert panel.ui.modelNameEdit.text == default.newModel
    assert shown(panel) == [None, None]
