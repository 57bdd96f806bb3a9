"""The order of events that the module relies on: Slicer's own in the scene, that of the stand-in in the node box.

Each test shows a fact of slicer_host/slicer_facts.json.
"""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def a_volume(app):
    import slicer

    return lambda name: slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.int16), name=name)


@pytest.fixture
def make_box(app):
    import slicer

    boxes = []

    def make(**options):
        box = slicer.qMRMLNodeComboBox()
        box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        for name in ("addEnabled", "removeEnabled"):
            setattr(box, name, False)
        box.noneEnabled = True
        for name, value in options.items():
            setattr(box, name, value)
        box.setMRMLScene(slicer.mrmlScene)
        box.told = []
        box.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: box.told.append(node and node.GetName()))
        boxes.append(box)
        return box

    yield make
    for box in boxes:
        box.setMRMLScene(None)


def load_again(path):
    import slicer

    slicer.util.saveScene(str(path))
    slicer.util.loadScene(str(path))


def test_a_scene_is_no_longer_importing_when_it_tells_the_end(scene, a_volume, tmp_path):
    told = []
    tags = [
        scene.AddObserver(scene.EndImportEvent, lambda *_: told.append(("import", scene.IsImporting()))),
        scene.AddObserver(scene.EndCloseEvent, lambda *_: told.append(("close", scene.IsClosing()))),
    ]
    a_volume("ct")
    load_again(tmp_path / "scene.mrb")
    for tag in tags:
        scene.RemoveObserver(tag)
    assert told == [("close", 0), ("import", 0)]


def test_references_go_after_the_node_was_told_to_be_removed(scene, a_volume):
    holder, ct = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"), a_volume("ct")
    holder.SetNodeReferenceID("ct", ct.GetID())
    told = []
    tag = scene.AddObserver(
        scene.NodeRemovedEvent, lambda *_: told.append((ct.GetScene(), bool(holder.GetNodeReferenceID("ct"))))
    )
    scene.RemoveNode(ct)
    scene.RemoveObserver(tag)
    assert (None, True) in told
    assert holder.GetNodeReferenceID("ct") is None


def test_a_closed_scene_keeps_the_parameter_node_and_empties_it(scene, a_volume):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class SomeLogic(ScriptedLoadableModuleLogic):
        pass

    logic = SomeLogic()
    node = logic.getParameterNode()
    node.SetAttribute("setting", "1")
    node.SetNodeReferenceID("ct", a_volume("ct").GetID())
    scene.Clear(False)
    assert logic.getParameterNode() is node
    assert node.GetAttribute("setting") is None
    assert node.GetNodeReference("ct") is None
    assert node.GetAttribute("ModuleName") == "Some"
    scene.RemoveNode(node)


def test_a_box_falls_to_none_when_a_scene_was_loaded(scene, a_volume, make_box, tmp_path):
    import slicer

    box = make_box()
    a_volume("first")
    box.setCurrentNode(a_volume("second"))
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    box.told.clear()
    told_at_the_end = []
    tag = scene.AddObserver(scene.EndImportEvent, lambda *_: told_at_the_end.append(list(box.told)), -1.0)
    scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False, None)
    scene.RemoveObserver(tag)
    assert told_at_the_end == [[None]]
    assert box.currentNode() is None
    assert box.nodeCount() == 4


def test_a_box_takes_a_neighbour_when_its_node_goes(scene, a_volume, make_box):
    box = make_box()
    a_volume("first")
    second = a_volume("second")
    a_volume("third")
    box.setCurrentNode(second)
    box.told.clear()
    told_before = []
    tag = scene.AddObserver(scene.NodeAboutToBeRemovedEvent, lambda *_: told_before.append(list(box.told)))
    scene.RemoveNode(second)
    scene.RemoveObserver(tag)
    assert told_before[0] == []  # observers of the usual priority hear of it before the box changes
    assert box.told in (["first"], ["third"])  # Qt decides which


def test_a_box_emits_the_same_node_again(scene, a_volume, make_box):
    box = make_box()
    first, second = a_volume("first"), a_volume("second")
    box.setCurrentNode(second)
    box.told.clear()
    scene.RemoveNode(first)
    second.SetName("renamed")
    assert box.told == ["second", "renamed"]
    assert box.currentNode() is second


def test_a_box_that_is_set_says_that_it_was_activated(a_volume, make_box):
    box = make_box()
    box.connect("nodeActivated(vtkMRMLNode*)", lambda node: box.told.append(("activated", node.GetName())))
    ct = a_volume("ct")
    box.setCurrentNode(ct)
    box.setCurrentNode(ct)
    assert box.told == ["ct", ("activated", "ct")]


def test_a_box_with_actions_takes_some_node_when_a_scene_was_loaded(scene, a_volume, make_box, tmp_path):
    import slicer

    box = make_box(renameEnabled=True)
    a_volume("first")
    box.setCurrentNode(a_volume("second"))
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    box.told.clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert box.currentNode() is not None
    assert box.told[-1] == "first"  # and not "second", which was chosen


def test_a_box_does_not_list_nodes_whose_ids_are_hidden(a_volume, make_box):
    box = make_box()
    ct, hidden = a_volume("ct"), a_volume("hidden")
    box.sortFilterProxyModel().hiddenNodeIDs = [hidden.GetID()]
    assert [box.nodeFromIndex(index).GetName() for index in range(box.nodeCount())] == ["ct"]
    box.sortFilterProxyModel().hiddenNodeIDs = [ct.GetID()]
    assert [box.nodeFromIndex(index).GetName() for index in range(box.nodeCount())] == ["hidden"]


def test_pip_install_of_5_10_lets_qt_handle_events(app, monkeypatch):
    from PySide6.QtCore import QTimer
    from slicer_host import slicer_5_10

    told = []
    monkeypatch.setattr(slicer_5_10, "meanwhile", [lambda: None])
    QTimer.singleShot(0, lambda: told.append("an event"))
    slicer_5_10.pip_install("timm")
    assert told == ["an event"]
    assert slicer_5_10.installed.pop() == "timm"
