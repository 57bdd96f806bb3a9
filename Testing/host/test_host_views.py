"""The views of the host: drawn by Slicer's displayable managers, and its markups dragged by the mouse in them."""

from __future__ import annotations

import numpy as np
import pytest

SHAPE = (10, 40, 60)
SPACING = (2.0, 2.0, 5.0)


@pytest.fixture
def ct(scene):
    """A bright block in the dark, of 2 x 2 x 5 mm voxels; its first voxel is at RAS 0."""
    import slicer

    array = np.full(SHAPE, -1000, np.int16)
    array[:, 10:30, 20:40] = 100
    volume = slicer.util.addVolumeFromArray(array, ijkToRAS=np.diag([*SPACING, 1.0]), name="ct")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(400, 40)
    return volume


@pytest.fixture
def red(app, ct):
    """The axial view in the main window, showing slice 4."""
    import slicer

    slicer.util.mainWindow().resize(1400, 800)
    slicer.util.mainWindow().show()
    app.processEvents()
    widget = app.layoutManager().sliceWidget("Red")
    slicer.util.setSliceViewerLayers(background=ct, fit=True)
    widget.sliceLogic().SetSliceOffset(4 * SPACING[2])
    return widget


@pytest.fixture
def box(scene, ct):
    """An ROI round voxels 15 to 45 by 5 to 35 of slice 4."""
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetFillVisibility(False)
    display.SetHandlesInteractive(True)
    display.SetRotationHandleVisibility(False)
    with slicer.util.NodeModify(node):
        node.SetCenter(60.0, 40.0, 20.0)
        node.SetSize(60.0, 60.0, 5.0)
    return node


def _pixel(view, ras):
    x, y = view.offscreen.pixel_of(ras)
    rows = view.offscreen.pixels().shape[0]
    return round(rows - 1 - y), round(x)


def test_the_volume_is_drawn_where_its_geometry_says(red):
    view = red.sliceView()
    pixels = view.offscreen.pixels()
    assert pixels.shape == (view.height, view.width, 3)
    bright, dark = _pixel(view, (60.0, 40.0, 20.0)), _pixel(view, (30.0, 40.0, 20.0))
    # 100 HU in a window from -160 to 240 is 0.65 of white
    assert np.all(np.abs(pixels[bright].astype(int) - 166) <= 1)
    assert np.all(pixels[dark] == 0)


def test_dragging_the_edge_of_a_box_moves_that_edge_alone(red, box):
    from slicer_host import mouse

    bounds = [0.0] * 6
    ended = []
    box.AddObserver(box.PointEndInteractionEvent, lambda *_: ended.append(1))
    mouse.drag_in_slice_view(red.sliceView(), (90.0, 40.0, 20.0), (70.0, 40.0, 20.0))
    box.GetBounds(bounds)
    np.testing.assert_allclose(bounds, [30, 70, 10, 70, 17.5, 22.5], atol=0.6)
    assert len(ended) == 1


def test_a_box_is_not_drawn_on_another_slice(red, box):
    shown = red.sliceView().offscreen.pixels()
    red.sliceLogic().SetSliceOffset(6 * SPACING[2])
    elsewhere = red.sliceView().offscreen.pixels()
    # Only the box has colour
    assert np.ptp(shown.astype(int), axis=2).max() > 50
    assert np.ptp(elsewhere.astype(int), axis=2).max() == 0


def test_the_mouse_wheel_moves_to_the_next_slice(red, app):
    from PySide6 import QtCore, QtGui

    view = red.sliceView()
    centre = QtCore.QPointF(view.width / 2, view.height / 2)
    turn = QtGui.QWheelEvent(
        centre,
        view.mapToGlobal(centre),
        QtCore.QPoint(),
        QtCore.QPoint(0, 120),
        QtCore.Qt.NoButton,
        QtCore.Qt.NoModifier,
        QtCore.Qt.NoScrollPhase,
        False,
    )
    app.sendEvent(view, turn)
    assert red.sliceLogic().GetSliceOffset() == pytest.approx(25.0)


def test_a_surface_is_drawn_in_3d(app, ct, scene):
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    node.GetSegmentation().AddEmptySegment("liver", "Liver", (1.0, 0.0, 0.0))
    mask = (slicer.util.arrayFromVolume(ct) > 0).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "liver", ct)
    view = app.layoutManager().threeDWidget(0).threeDView().offscreen
    before = view.pixels().astype(int)
    node.CreateClosedSurfaceRepresentation()
    view.look_from("anterior")
    after = view.pixels().astype(int)

    def red_share(pixels):
        return np.mean((pixels[..., 0] > 100) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60))

    assert red_share(before) == 0
    assert red_share(after) > 0.005


def test_a_plot_chart_node_is_drawn(app, scene):
    import slicer

    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "table")
    slicer.util.updateTableFromArray(table, (np.arange(5.0), np.array([0.0, 1.0, 0.0, 1.0, 0.0])), ["slice", "score"])
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "score")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("slice")
    series.SetYColumnName("score")
    series.SetPlotType(series.PlotTypeScatter)
    series.SetColor(0.0, 0.0, 1.0)
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "chart")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    widget = app.layoutManager().plotWidget(0)
    widget.mrmlPlotViewNode().SetPlotChartNodeID(chart.GetID())
    widget.resize(400, 200)
    image = widget.grab().toImage()
    blue = [
        image.pixelColor(x, y).blue() - image.pixelColor(x, y).red()
        for x in range(0, image.width(), 2)
        for y in range(0, image.height(), 2)
    ]
    assert max(blue) > 200


def test_a_layout_is_chosen_through_the_layout_node(app):
    import slicer

    manager, layouts = app.layoutManager(), []
    manager.connect("layoutChanged(int)", layouts.append)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView
    manager.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert layouts == [
        slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView,
        slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView,
    ]
    assert manager.sliceViewNames()[:3] == ("Red", "Yellow", "Green")  # tests of other layouts may have added more


def test_the_window_shows_the_plot_view_of_a_layout_that_another_part_of_slicer_chose(app):
    import slicer

    window, layout = slicer.util.mainWindow(), app.layoutManager().layoutLogic().GetLayoutNode()
    window.show()
    plot = app.layoutManager().plotWidget(0)
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
    assert plot.visible
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    assert not plot.visible
    window.hide()
