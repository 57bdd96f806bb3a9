"""Scene closed, nodes deleted, volumes switched, module reloaded, two volumes: no error, no process left behind."""

from __future__ import annotations

import os

import numpy as np
import pytest
from panel_driver import MODULE, PanelDriver, a_drawn_ct

SHAPE = (4, 96, 112)


@pytest.fixture
def panel(errors, panel):
    return panel


@pytest.fixture
def panel_with_a_process(load_module, errors):
    """A panel with a process of its own; no model is loaded in it, which would take its time."""
    from slicer_host import mouse

    panel = PanelDriver(load_module(MODULE))
    mouse.wait_until(lambda: panel.logic.worker.hello is not None, 60)
    return panel


@pytest.fixture
def errors(app, caplog):
    """Fails the test where something was logged as an error: an exception in a timer or an observer ends there."""
    yield
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.fixture
def a_ct(app):
    def make(name="ct", seed=0):
        return a_drawn_ct(SHAPE, seed, name=name)

    return make


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def start_run(panel, volume_node):
    """Starts a run, and waits until the process is at work on it."""
    from slicer_host import mouse

    panel.choose(volume_node)
    panel.click("segmentButton")
    mouse.wait_until(lambda: panel.case.probabilities, 600)
    assert panel.logic.actions.isBusy


def test_opening_the_panel_starts_nothing_and_changes_nothing_in_the_scene(panel, scene, a_ct):
    import slicer

    nodes = scene.GetNumberOfNodes()
    volume_node = a_ct()
    own = scene.GetNumberOfNodes() - nodes
    panel.choose(volume_node)
    assert scene.GetNumberOfNodes() == nodes + own
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsROINode") == []
    assert panel.ui.segmentButton.enabled
    assert not panel.ui.cancelButton.enabled


def test_a_scene_that_is_closed_in_the_middle_of_a_run(panel, scene, a_ct):
    import slicer
    from slicer_host import mouse

    start_run(panel, a_ct())
    scene.Clear(False)
    slicer.app.processEvents()

    assert panel.case is None
    assert not panel.logic.actions.isBusy
    assert panel.ui.sliceTable.rowCount == 0
    assert not panel.ui.segmentButton.enabled
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    mouse.wait_until(lambda: not panel.logic.worker.busy, 60)

    # And the same process goes on with the next volume.
    pid = panel.logic.worker.hello.pid
    panel.segment(a_ct("next"))
    assert panel.logic.worker.hello.pid == pid
    assert "Segment liver" in panel.status


def test_a_volume_that_is_deleted_in_the_middle_of_a_run(panel, scene, a_ct):
    import slicer
    from slicer_host import mouse

    volume_node = a_ct()
    start_run(panel, volume_node)
    case_node = panel.case.node
    scene.RemoveNode(volume_node)
    slicer.app.processEvents()

    assert panel.case is None
    assert not scene.IsNodePresent(case_node)
    assert not panel.logic.actions.isBusy
    mouse.wait_until(lambda: not panel.logic.worker.busy, 60)


def test_a_segmentation_that_is_deleted_in_the_middle_of_a_run_is_created_again(panel, scene, a_ct):
    import slicer

    volume_node = a_ct()
    start_run(panel, volume_node)
    scene.RemoveNode(panel.case.segmentationNode)
    slicer.app.processEvents()
    panel.wait()
    states = dict(panel.case.states)

    panel.click("segmentButton")
    panel.wait()
    mask = panel.mask()
    assert [k for k in range(SHAPE[0]) if mask[k].any()] == [k for k, state in sorted(states.items()) if state.mask]


def test_another_volume_in_the_middle_of_a_run_and_back(panel, a_ct):
    first, second = a_ct("first"), a_ct("second", seed=1)
    start_run(panel, first)
    panel.choose(second)
    assert panel.case is None
    panel.wait()
    panel.segment(second)
    of_second = panel.case
    panel.choose(first)
    assert panel.case is not of_second
    assert panel.case.volumeNode is first
    assert panel.case.probabilities
    assert panel.ui.segmentationSelector.currentNode() is panel.case.segmentationNode
    assert panel.case.segmentationNode is not of_second.segmentationNode


def test_a_reload_keeps_the_work_and_ends_the_process(panel_with_a_process, a_ct):
    import slicer
    from slicer_host import mouse

    panel = panel_with_a_process
    box = panel.draw(a_ct(), 2)
    mask = panel.mask()
    assert mask[2].any()
    old, pid = panel.logic.worker, panel.logic.worker.hello.pid

    panel.loaded.widget.onReload()
    slicer.app.processEvents()

    assert not is_alive(pid)
    assert type(panel.logic.worker) is not type(old)  # the files were read again
    assert panel.case is not None
    assert panel.case.state(2).boxes[0].edges == box.edges
    assert panel.case.state(2).boxes[0].source.value == "auto"
    np.testing.assert_array_equal(panel.mask(), mask)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    mouse.wait_until(lambda: panel.logic.worker.hello is not None, 60)


def escapes():
    """The Esc shortcuts of the main window that are there."""
    import qt
    import shiboken6
    import slicer

    found = slicer.util.mainWindow().findChildren(qt.QShortcut)
    return [one for one in found if shiboken6.isValid(one) and one.key.toString() == "Esc"]


def test_a_reload_leaves_no_second_esc_behind(panel):
    """Qt calls neither of two equal shortcuts; each section with clicks has one, on while it accepts clicks."""
    import slicer

    before = len(escapes())
    for _ in range(2):
        panel.loaded.widget.onReload()
        slicer.app.processEvents()
    assert len(escapes()) == before == 2
    assert not any(one.enabled for one in escapes())


def test_a_reload_of_a_module_that_is_not_open_starts_nothing(panel_with_a_process):
    panel = panel_with_a_process
    panel.loaded.panel.exit()
    panel.loaded.widget.onReload()
    assert not panel.logic.worker.busy


def test_leaving_slicer_leaves_no_process(panel_with_a_process):
    pid = panel_with_a_process.logic.worker.hello.pid
    assert is_alive(pid)
    panel_with_a_process.loaded.widget.cleanup()
    assert not is_alive(pid)


def test_a_killed_process_is_reported_and_restarted(panel_with_a_process):
    import signal

    from SAMMixSlicerLib.worker.commands import Describe
    from slicer_host import mouse

    panel = panel_with_a_process
    pid = panel.logic.worker.hello.pid
    os.kill(pid, signal.SIGKILL)
    mouse.wait_until(lambda: panel.logic.worker.hello is None, 30)
    assert panel.status
    panel.logic.worker.submit(Describe())
    mouse.wait_until(lambda: panel.logic.worker.hello is not None and not panel.logic.worker.busy, 60)
    assert panel.logic.worker.hello.pid != pid
