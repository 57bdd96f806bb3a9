"""Which slice is in view, jumping, the overlay, the window, the plot, the measurements, and what a scene keeps."""

from __future__ import annotations

import numpy as np
import pytest

SHAPE = (12, 40, 50)


@pytest.fixture
def make_volume(app):
    import slicer

    def make(matrix=None, shape=SHAPE, name="ct"):
        values = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
        matrix = np.diag([-0.8, -0.8, 2.5, 1]) if matrix is None else matrix
        node = slicer.util.addVolumeFromArray(values, ijkToRAS=matrix, name=name)
        for view, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
            # Views outlive the scene, and with them how a test before has turned them.
            slicer.app.layoutManager().sliceWidget(view).mrmlSliceNode().SetOrientation(orientation)
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        return node

    return make


@pytest.fixture
def views(app):
    from SAMMixSlicerLib.scene.slice_views import SliceViews

    found = SliceViews()
    yield found
    found.follow(None, "k")


def slice_node(name):
    import slicer

    return slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()


def test_moving_the_axial_view_reports_the_slice(make_volume, views):
    views.follow(make_volume(), "k")
    moved = []
    views.moved.connect(moved.append)

    views.jumpTo(3)
    assert views.current == 3
    slice_node("Red").SetSliceOffset(7 * 2.5 + 1.2)  # within slice 7
    slice_node("Red").SetSliceOffset(7 * 2.5 - 1.2)
    assert views.current == 7
    slice_node("Yellow").SetSliceOffset(-5)
    slice_node("Red").SetSliceOffset(500)
    assert moved == [3, 7, None]


@pytest.mark.parametrize("axis", "ijk")
def test_an_oblique_volume_is_shown_in_its_own_slices(make_volume, views, axis):
    angle = np.deg2rad(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-0.8, -0.8, 2.5])
    node = make_volume(matrix)
    name = {"i": "Yellow", "j": "Green", "k": "Red"}[axis]
    views.follow(node, axis)
    if axis != "i":  # the turn is about the first axis, so sagittal slices are not oblique
        assert views.alignedViews() == []

    views.alignView()
    views.jumpTo(4)

    assert views.alignedViews() == [slice_node(name)]
    assert views.current == 4
    centre = matrix @ np.array([24.5, 19.5, 5.5, 1.0])
    centre -= matrix[:, "ijk".index(axis)] * ((24.5, 19.5, 5.5)["ijk".index(axis)] - 4)
    to_ras = slice_node(name).GetSliceToRAS()
    normal = np.array([to_ras.GetElement(row, 2) for row in range(3)])
    place = np.array([to_ras.GetElement(row, 3) for row in range(3)])
    assert normal @ (centre[:3] - place) == pytest.approx(0, abs=1e-6)


def test_a_volume_that_no_view_shows_is_shown(make_volume, views):
    import slicer

    first = make_volume(name="first")
    make_volume(name="second")
    views.follow(first, "k")
    assert views.current is None
    views.jumpTo(5)
    assert views.current == 5
    assert slicer.util.getNode("vtkMRMLSliceCompositeNodeRed").GetBackgroundVolumeID() == first.GetID()


def test_the_map_lies_over_its_volume_and_leaves_other_foregrounds_alone(make_volume):
    import slicer
    from SAMMixSlicerLib.scene.cam_overlay import hideOverlay, newOverlay, setMaps, showOverlay

    node = make_volume()
    overlay = newOverlay(node)
    plane = np.zeros(SHAPE[1:], np.uint8)
    plane[5:9, 6:20] = 200
    setMaps(overlay, "k", {4: plane})
    showOverlay(overlay, node, 0.3)

    composite = slicer.util.getNode("vtkMRMLSliceCompositeNodeRed")
    assert composite.GetForegroundVolumeID() == overlay.GetID()
    assert composite.GetForegroundOpacity() == pytest.approx(0.3)
    array = slicer.util.arrayFromVolume(overlay)
    np.testing.assert_array_equal(array[4], plane)
    assert array.sum() == plane.astype(int).sum()
    theirs = slicer.util.getNode("vtkMRMLSliceCompositeNodeYellow")
    theirs.SetForegroundVolumeID(node.GetID())
    hideOverlay(overlay)
    assert composite.GetForegroundVolumeID() is None
    assert theirs.GetForegroundVolumeID() == node.GetID()


def test_the_users_foreground_is_restored_after_the_map(make_volume):
    import slicer
    from SAMMixSlicerLib.scene.cam_overlay import hideOverlay, newOverlay, showOverlay

    pet = make_volume(name="pet")
    node = make_volume()
    composite = slicer.util.getNode("vtkMRMLSliceCompositeNodeRed")
    composite.SetForegroundVolumeID(pet.GetID())
    composite.SetForegroundOpacity(0.75)
    overlay = newOverlay(node)
    showOverlay(overlay, node, 0.3)
    showOverlay(overlay, node, 0.6)
    assert composite.GetForegroundVolumeID() == overlay.GetID()
    hideOverlay(overlay)
    assert composite.GetForegroundVolumeID() == pet.GetID()
    assert composite.GetForegroundOpacity() == pytest.approx(0.75)


def test_the_window_is_set_only_if_the_user_has_not_set_one(make_volume):
    from SAMMixSlicerLib.logic.workspace import setAbdomenWindow

    node = make_volume()
    display = node.GetDisplayNode()
    assert setAbdomenWindow(node)
    assert (display.GetWindow(), display.GetLevel()) == (400, 40)
    display.SetWindowLevel(1500, -600)
    assert not setAbdomenWindow(node)
    assert (display.GetWindow(), display.GetLevel()) == (1500, -600)


def test_the_plot_draws_known_values_and_leaves_gaps(app):
    from SAMMixSlicerLib.scene.slice_plot import fillSliceTable, newChart, newSliceTable

    table = newSliceTable("slices")
    chart = newChart(table, "plot")
    fillSliceTable(table, 4, {0: 0.1, 1: 0.9, 2: 0.8}, {1: 0.95})

    columns = table.GetTable()
    probability = [columns.GetColumnByName("Probability").GetValue(row) for row in range(4)]
    score = [columns.GetColumnByName("Score").GetValue(row) for row in range(4)]
    np.testing.assert_allclose(probability, [0.1, 0.9, 0.8, np.nan])
    np.testing.assert_allclose(score, [np.nan, 0.95, np.nan, np.nan])
    series = [chart.GetNthPlotSeriesNode(place) for place in range(chart.GetNumberOfPlotSeriesNodes())]
    assert [(one.GetXColumnName(), one.GetYColumnName()) for one in series] == [
        ("Slice", "Probability"),
        ("Slice", "Score"),
    ]
    assert all(one.GetTableNode() is table for one in series)


def test_measurements_agree_with_a_mask_counted_by_hand(make_volume):
    import slicer
    from SAMMixSlicerLib.mask_statistics import maskStatistics
    from SAMMixSlicerLib.scene.geometry import volumeFromNode

    node = make_volume()
    values = slicer.util.arrayFromVolume(node)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:6, 10:20, 5:30] = 1
    values[mask > 0] = 100
    values[3, 10:20, 5:30] = 140

    found = maskStatistics(mask, volumeFromNode(node))

    assert found.volumeMl == pytest.approx(4 * 10 * 25 * 0.8 * 0.8 * 2.5 / 1000)
    assert found.meanHu == pytest.approx(110)
    assert found.sdHu == pytest.approx(np.sqrt(300))
    assert found.extentMm == pytest.approx((25 * 0.8, 10 * 0.8, 4 * 2.5))
    assert found.slices == 4
    assert maskStatistics(np.zeros_like(mask), volumeFromNode(node)).meanHu is None


def test_the_self_test_that_runs_in_any_slicer_passes(app):
    from SAMMixSlicerLib.self_test import runAll

    runAll()


def test_a_case_node_survives_a_scene_file(make_volume, scene, tmp_path):
    import slicer
    from SAMMixSlicerLib.scene import case_node

    from sammix_core.boxes import Box, BoxSource
    from sammix_core.segmentation.slice_state import SliceScores, SliceState

    node = case_node.newCaseNode(make_volume())
    states = {
        2: SliceState(
            2,
            boxes=(Box(2, 1, 2, 5, 6, BoxSource.EDITED), Box(2, 7, 2, 9, 6, part=3)),
            deleted_boxes=(Box(2, 20, 20, 30, 30, part=1),),
            scores=SliceScores(score=0.5),
            corrected=True,
        ),
        9: SliceState(9, deleted=True, automatic_boxes=(Box(9, 0, 0, 3, 3, score=0.125),)),
    }
    case_node.writeStates(node, states, {2: 0.75}, "liver/1.0.0")
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(False)
    assert case_node.caseNodes() == []
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))

    (again,) = case_node.caseNodes()
    assert case_node.readStates(again) == (states, {2: 0.75}, "liver/1.0.0")
    assert again.GetNodeReference(case_node.VOLUME).GetName() == "ct"
    assert again.GetHideFromEditors()


def test_a_damaged_case_node_is_refused_in_a_sentence(make_volume):
    from SAMMixSlicerLib.scene import case_node

    from sammix_core.errors import InputError

    node = case_node.newCaseNode(make_volume())
    assert case_node.readStates(node) == ({}, {}, "")
    for text in ("{", "[]", '{"schema": "sammix-case/9"}', '{"schema": "sammix-case/1", "slices": [{}]}'):
        node.SetAttribute("SAMMix.States", text)
        with pytest.raises(InputError, match="cannot be read by this version"):
            case_node.readStates(node)


@pytest.mark.parametrize(
    ("view_name", "axis", "degrees", "flip"),
    [("Red", "k", 0, 1), ("Red", "k", 20, -1), ("Yellow", "i", 0, 1), ("Green", "j", 20, 1)],
)
def test_an_edge_dragged_with_the_mouse_snaps_to_that_voxel(make_volume, views, view_name, axis, degrees, flip):
    import slicer
    from SAMMixSlicerLib.scene.box_geometry import inPlaneAxes
    from SAMMixSlicerLib.scene.box_roi import BoxRoi
    from slicer_host import mouse

    from sammix_core.boxes import Box

    angle = np.deg2rad(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-2.0 * flip, -2.0, 2.5])
    node = make_volume(matrix, shape=(36, 40, 50))
    widget = slicer.app.layoutManager().sliceWidget(view_name)
    widget.resize(600, 600)
    widget.show()
    slicer.app.processEvents()
    views.follow(node, axis)
    views.jumpTo(6)
    widget.sliceLogic().FitSliceToBackground()
    views.jumpTo(6)
    widget.sliceView().forceRender()
    slicer.app.processEvents()

    released = []
    roi = BoxRoi()
    roi.released.connect(lambda *told: released.append(told))
    box = Box(6, 8, 9, 24, 27)
    roi.show(node, axis, box, [one.GetID() for one in views.alignedViews()])
    widget.sliceView().forceRender()  # what is not drawn yet cannot be grabbed
    slicer.app.processEvents()
    first, second, across = inPlaneAxes(axis)
    start = np.ones(4)
    start[[first, second, across]] = (24 - 0.5, 17.5, 6)
    end = start.copy()
    end[first] += 5

    mouse.drag_in_slice_view(widget.sliceView(), tuple((matrix @ start)[:3]), tuple((matrix @ end)[:3]))

    assert released == [(6, 0, (8, 9, 29, 27))]
    roi.remove()


def test_a_view_that_a_layout_adds_later_is_tracked(make_volume, views, app):
    import slicer

    node = make_volume()
    views.follow(node, "k")
    views.jumpTo(3)
    moved, changed = [], []
    views.moved.connect(moved.append)
    views.viewsChanged.connect(lambda: changed.append([one.GetLayoutName() for one in views.alignedViews()]))

    app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutThreeByThreeSliceView)
    later = app.layoutManager().sliceWidget("Slice4")
    later.mrmlSliceNode().SetOrientation("Axial")
    later.mrmlSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
    assert changed == [["Red", "Slice4"]]

    views.jumpTo(5)
    assert views.current == 5
    offsets = [slice_node(name).GetSliceOffset() for name in ("Red", "Slice4")]
    assert offsets == pytest.approx([12.5, 12.5])
    later.mrmlSliceNode().SetSliceOffset(8 * 2.5)  # scrolled there alone: that is the slice in view now
    assert views.current == 8
    assert moved == [5, 8]
    app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
