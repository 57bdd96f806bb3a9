"""The Designer file against the code: what the code names is there, and what a user can press is used."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "SAMMixSlicer"
UI = MODULE / "Resources" / "UI" / "SAMMixSlicer.ui"
DEMO_UI = Path(__file__).parents[1] / "host" / "data" / "HostDemo" / "Resources" / "UI" / "HostDemo.ui"
SOURCES = sorted(MODULE.rglob("*.py"))
# A user does something with these, or something is shown in them that only code can know.
ALIVE = {
    "QCheckBox",
    "QComboBox",
    "QLineEdit",
    "QProgressBar",
    "QPushButton",
    "QSlider",
    "QSpinBox",
    "QTableWidget",
    "ctkSliderWidget",
    "qMRMLNodeComboBox",
}


def _widgets(path: Path) -> list[tuple[str, str]]:
    """(object name, class) of every widget."""
    return [(widget.get("name", ""), widget.get("class", "")) for widget in ET.parse(path).getroot().iter("widget")]


def _named_in_code() -> set[str]:
    """The attributes of ``ui`` and ``_ui`` in all sources."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] in ("ui", "_ui"):
                found.add(node.attr)
    return found


def _parameter_fields() -> set[str]:
    """The fields of the class Parameter."""
    tree = ast.parse((MODULE / "SAMMixSlicerLib" / "parameter.py").read_text(encoding="utf-8"))
    (class_,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Parameter"]
    return {node.target.id for node in class_.body if isinstance(node, ast.AnnAssign)}


def _bound_to_nothing(path: Path, fields: set[str]) -> set[str]:
    """The values of SlicerParameterName in a Designer file that name no field."""
    bound = {
        value.findtext("string", "")
        for value in ET.parse(path).getroot().iter("property")
        if value.get("name") == "SlicerParameterName"
    }
    return bound - fields


def test_every_widget_that_the_code_names_is_in_the_designer_file():
    assert _named_in_code() - {name for name, _ in _widgets(UI)} == set()


def test_every_control_in_the_panel_is_used_by_the_code():
    alive = {name for name, class_ in _widgets(UI) if class_ in ALIVE}
    assert len(alive) > 10
    assert alive - _named_in_code() == set()


def test_no_two_widgets_have_the_same_name():
    counts = Counter(name for name, _ in _widgets(UI))
    assert [name for name, count in counts.items() if count > 1] == []


def test_every_custom_widget_is_declared_once():
    used = {class_ for _, class_ in _widgets(UI) if class_.startswith(("ctk", "qMRML", "qSlicer"))}
    declared = [element.findtext("class", "") for element in ET.parse(UI).getroot().iter("customwidget")]
    assert sorted(declared) == sorted(used)


def test_the_scene_reaches_every_widget_that_needs_it():
    needy = {name for name, class_ in _widgets(UI) if class_.startswith("qMRML") and class_ != "qMRMLWidget"}
    connections = ET.parse(UI).getroot().iter("connection")
    reached = {
        connection.findtext("receiver", "")
        for connection in connections
        if connection.findtext("signal", "") == "mrmlSceneChanged(vtkMRMLScene*)"
    }
    assert needy == reached


def test_every_control_has_a_tooltip_or_a_label():
    """A button's text may be short, its tool tip says the rest."""
    silent = []
    for widget in ET.parse(UI).getroot().iter("widget"):
        if widget.get("class") in ("QPushButton", "QCheckBox", "qMRMLNodeComboBox", "ctkSliderWidget"):
            names = {value.get("name") for value in widget.findall("property")}
            if "toolTip" not in names:
                silent.append(widget.get("name"))
    assert silent == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [pytest.param(UI, set(), id="the module"), pytest.param(DEMO_UI, {"volume"}, id="a binding to no field is found")],
)
def test_parameter_bindings_name_fields_of_the_parameter(path, wrong):
    assert _bound_to_nothing(path, _parameter_fields()) == wrong
