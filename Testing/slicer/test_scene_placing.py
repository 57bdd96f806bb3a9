"""Slicer's place mode is the user's: what is placed next, and whether it stays on, is as before when we are done."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def nodes(app):
    logic = app.applicationLogic()
    yield logic.GetSelectionNode(), logic.GetInteractionNode()
    logic.GetInteractionNode().SetPlaceModePersistence(0)
    logic.GetInteractionNode().SwitchToViewTransformMode()


@pytest.fixture
def a_users_curve(app):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsCurveNode", "theirs")


@pytest.fixture
def click_mode(app):
    from SAMMixSlicerLib.scene.click_mode import ClickMode

    mode = ClickMode()
    yield mode
    mode.stop()
    mode.tick()


@pytest.fixture
def roi(app):
    from SAMMixSlicerLib.scene.box_roi import BoxRoi

    found = BoxRoi()
    yield found
    found.remove()


def a_volume():
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros((6, 8, 10), np.int16), ijkToRAS=np.diag([-1.0, -1, 3, 1]))


def next_placed(selection):
    return selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()


def test_slicer_makes_any_new_markups_node_the_next_to_place(nodes, scene, a_users_curve):
    """The fact that the rest is about; the code that does it is Slicer's own."""
    selection, _interaction = nodes
    theirs = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    assert next_placed(selection) == ("vtkMRMLMarkupsROINode", theirs.GetID())


def test_a_box_that_is_shown_and_removed_leaves_the_users_curve_the_next_to_place(nodes, a_users_curve, roi):
    from sammix_core.boxes import Box

    selection, _interaction = nodes
    expected = ("vtkMRMLMarkupsCurveNode", a_users_curve.GetID())
    roi.show(a_volume(), "k", Box(2, 1, 1, 5, 5), [])
    assert next_placed(selection) == expected
    roi.hide()
    roi.remove()
    assert next_placed(selection) == expected


def test_a_box_does_not_end_the_placing_that_goes_on(nodes, a_users_curve, roi):
    from sammix_core.boxes import Box

    selection, interaction = nodes
    interaction.SetCurrentInteractionMode(interaction.Place)
    roi.show(a_volume(), "k", Box(2, 1, 1, 5, 5), [])
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert selection.GetActivePlaceNodeID() == a_users_curve.GetID()


def test_where_nothing_was_to_be_placed_nothing_is(nodes, scene, roi):
    from sammix_core.boxes import Box

    selection, _interaction = nodes
    scene.RemoveNode(scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode"))
    before = next_placed(selection)
    assert before == ("vtkMRMLMarkupsLineNode", None)
    roi.show(a_volume(), "k", Box(2, 1, 1, 5, 5), [])
    assert next_placed(selection) == before


@pytest.mark.parametrize("persistence", [0, 1])
@pytest.mark.parametrize("end", ["stop", "Esc", "another tool"])
def test_click_mode_leaves_place_mode_as_persistent_as_it_was(nodes, a_users_curve, click_mode, persistence, end):
    selection, interaction = nodes
    interaction.SetPlaceModePersistence(persistence)
    click_mode.start()
    assert interaction.GetPlaceModePersistence() == 1
    if end == "stop":
        click_mode.stop()
    elif end == "Esc":
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    else:
        selection.SetReferenceActivePlaceNodeID(a_users_curve.GetID())
    click_mode.tick()

    assert not click_mode.isOn
    assert interaction.GetPlaceModePersistence() == persistence
    assert selection.GetActivePlaceNodeID() == a_users_curve.GetID()
