"""A scripted module in the host: loaded, clicked, reloaded, and what PythonQt shows of Qt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

DEMO = Path(__file__).parent / "data" / "HostDemo" / "HostDemo.py"


@pytest.fixture
def demo(load_module):
    return load_module(DEMO)


def _add_volume(name="ct"):
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name=name)


def test_a_click_reaches_the_module_once_there_is_a_volume(demo):
    from slicer_host import mouse

    ui = demo.widget.ui
    assert not ui.addButton.enabled
    with pytest.raises(AssertionError, match="addButton is disabled"):
        mouse.click(ui.addButton)
    volume = _add_volume()
    assert ui.inputSelector.currentNode() is volume
    mouse.click(ui.addButton)
    assert demo.widget.logic.count == 1
    mouse.wait_until(lambda: ui.status.text == "added and timed", 5)


def test_the_selector_gets_the_scene_and_the_module_its_closing(demo, scene):
    _add_volume()
    scene.Clear(False)
    assert demo.widget.ui.inputSelector.currentNode() is None
    assert not demo.widget.ui.addButton.enabled
    assert demo.widget.ui.status.text == "closed"


def test_properties_are_values_as_in_pythonqt(demo):
    ui = demo.widget.ui
    ui.opacity.value = 0.25
    assert ui.opacity.value == 0.25
    assert demo.widget.changes == [0.25]
    ui.inputs.collapsed = True
    assert not ui.inputSelector.visible
    ui.inputs.collapsed = False
    assert ui.inputSelector.visible
    with pytest.raises(TypeError, match="not callable"):
        ui.addButton.text()
    assert ui.inputSelector.property("SlicerParameterName") == "volume"
    assert ui.inputSelector.className() == "qMRMLNodeComboBox"
    assert ui.addButton.className() == "QPushButton"


def test_a_signal_that_does_not_exist_is_refused(demo):
    with pytest.raises(ValueError, match="has no signal pressedTwice"):
        demo.widget.ui.addButton.connect("pressedTwice()", print)


def test_disconnect_undoes_connect(demo):
    button, calls = demo.widget.ui.opacity, []
    button.connect("valueChanged(double)", calls.append)
    button.value = 0.5
    assert button.disconnect("valueChanged(double)", calls.append)
    assert not button.disconnect("valueChanged(double)", calls.append)
    button.value = 0.75
    assert calls == [0.5]


def test_qt_has_what_pythonqt_has_and_nothing_more(app):
    import qt

    assert not [name for name in ("Signal", "Slot", "Property") if hasattr(qt, name)]
    timer = qt.QTimer()
    timer.singleShot = True
    assert timer.singleShot is True
    fired = []
    qt.QTimer.singleShot(0, lambda: fired.append(1))
    app.processEvents()
    assert fired == [1]


def test_a_reload_makes_a_new_widget_in_the_same_panel(demo):
    import slicer

    before = demo.widget
    before.onReload()
    assert demo.widget is not before
    assert slicer.modules.HostDemoWidget is demo.widget
    assert demo.panel.layout().count() == 1


def test_the_module_is_notified_when_the_application_has_started(demo, app):
    app.emit("startupCompleted()")
    assert demo.instance.started == 1
    assert demo.instance.parent.title == "Host demo"


def test_a_designer_file_with_an_unknown_widget_is_refused(app, tmp_path):
    import slicer

    path = tmp_path / "unknown.ui"
    path.write_text('<ui version="4.0"><widget class="qMRMLNoSuchWidget" name="x"/></ui>')
    with pytest.raises(LookupError, match="no stand-in for qMRMLNoSuchWidget"):
        slicer.util.loadUI(str(path))


def test_what_is_shown_in_a_closed_section_appears_when_it_is_opened(app):
    from PySide6.QtWidgets import QLabel, QVBoxLayout
    from slicer_host.widgets.collapsible_button import ctkCollapsibleButton

    section = ctkCollapsibleButton("Section")
    layout = QVBoxLayout(section)
    label = QLabel("news")
    layout.addWidget(label)
    label.setVisible(False)
    section.show()
    section.collapsed = True
    label.setVisible(True)
    assert not label.visible
    section.collapsed = False
    assert label.visible
    section.close()


def test_a_reload_sets_the_panel_up_and_does_not_enter_it(demo):
    assert demo.widget.entered == 1
    demo.widget.onReload()
    assert demo.widget.entered == 0
    assert demo.panel.isEntered
