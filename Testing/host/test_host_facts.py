"""The stand-ins of the host against the facts about the real classes: they may lack members, never add any."""

from __future__ import annotations

import importlib
import inspect

import pytest

# The stand-in, and the real class that it imitates
OTHERS = {
    "slicer_host.layout_manager.qSlicerLayoutManager": "qSlicerLayoutManager",
    "slicer_host.qt_application.Application": "qSlicerApplication",
    "slicer_host.scene.modules.ModuleManager": "qSlicerModuleManager",
    "slicer_host.scene.modules.Module": "qSlicerScriptedLoadableModule",
    "slicer_host.scene.io_manager.IOManager": "qSlicerIOManager",
    "slicer_host.module_widget.qSlicerScriptedLoadableModuleWidget": "qSlicerScriptedLoadableModuleWidget",
    "slicer_host.widgets.node_combo_box.qMRMLSortFilterProxyModel": "qMRMLSortFilterProxyModel",
    "slicer_host.main_window.MainWindow": "qSlicerMainWindow",
    "slicer_host.main_window.ModuleSelector": "qSlicerModuleSelectorToolBar",
}
WIDGETS = (
    "ctkCollapsibleButton",
    "ctkSliderWidget",
    "qMRMLNodeComboBox",
    "qMRMLPlotView",
    "qMRMLPlotWidget",
    "qMRMLSegmentEditorWidget",
    "qMRMLSliceView",
    "qMRMLSliceWidget",
    "qMRMLThreeDView",
    "qMRMLThreeDWidget",
    "qMRMLWidget",
)
# How the tests reach into the host; no module could rely on these, as they have no name in Slicer.
DOORS = {
    "SIGNATURES",
    "add",
    "emit",
    "setLayoutManager",
    "show_panel",
}
# slicer.util, which is Slicer's own code, calls these; the headers declare them where the facts did not look.
CALLED_BY_SLICER_UTIL = {"testingEnabled", "widgetRepresentation"}


def _own_members(class_) -> set[str]:
    """The public names that our own classes, and not PySide6's, give to a stand-in."""
    from PySide6.QtCore import QObject

    ours = [base for base in class_.__mro__ if base.__module__.startswith("slicer_host")]
    names = {name for base in ours for name in vars(base) if not name.startswith("_")}
    # Methods that C++ calls, such as paintEvent, belong to Qt's class already.
    inherited = [base for base in class_.__mro__ if base.__module__.startswith("PySide6") and issubclass(base, QObject)]
    return {name for name in names if not any(name in vars(base) for base in inherited)} - DOORS


def _undocumented(class_, real: str) -> set[str]:
    from slicer_host.api_facts import has_member

    return {name for name in _own_members(class_) if not has_member(real, name)} - CALLED_BY_SLICER_UTIL


def test_every_stand_in_is_compared_with_the_facts(app):
    from slicer_host.widgets.registry import WIDGETS as registered

    assert tuple(sorted(registered)) == WIDGETS


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_has_no_member_that_the_real_one_lacks(app, name):
    from slicer_host.widgets.registry import WIDGETS as registered

    assert _undocumented(registered[name], name) == set()


@pytest.mark.parametrize("path", OTHERS)
def test_a_part_of_the_application_has_no_member_that_the_real_one_lacks(app, path):
    module, _, class_name = path.rpartition(".")
    class_ = getattr(importlib.import_module(module), class_name)
    assert _undocumented(class_, OTHERS[path]) == set()


@pytest.mark.parametrize("name", WIDGETS)
def test_the_signals_of_a_widget_have_the_signatures_of_the_real_ones(app, name):
    from slicer_host.api_facts import normalized, signals
    from slicer_host.widgets.registry import WIDGETS as registered

    declared = {normalized(signature) for signature in getattr(registered[name], "SIGNATURES", ())}
    assert declared <= signals(name)


def _argument_counts(class_name: str, method: str) -> list[tuple[int, int]]:
    """The least and the largest number of arguments of each overload of a slot or method of the real class."""
    from slicer_host.api_facts import _facts, _lineage

    counts = []
    for name in _lineage(class_name):
        facts = _facts().get(name, {"slots": [], "invokable": []})
        for signature in facts["slots"] + facts["invokable"]:
            if signature.split("(")[0] == method:
                inside = signature[signature.index("(") + 1 : -1]
                arguments = [part for part in inside.split(",") if part.strip()]
                counts.append((sum("=" not in part for part in arguments), len(arguments)))
    return counts


@pytest.mark.parametrize("name", WIDGETS)
def test_a_method_of_a_widget_takes_as_many_arguments_as_the_real_one(app, name):
    from slicer_host.widgets.registry import WIDGETS as registered

    different = []
    for method in sorted(_own_members(registered[name])):
        function = inspect.getattr_static(registered[name], method)
        counts = _argument_counts(name, method)
        if not inspect.isfunction(function) or not counts:
            continue
        parameters = list(inspect.signature(function).parameters.values())[1:]
        if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
            continue
        least = sum(parameter.default is parameter.empty for parameter in parameters)
        if not any(least <= most and len(parameters) >= fewest for fewest, most in counts) or len(parameters) > max(
            most for _fewest, most in counts
        ):
            different.append((method, least, len(parameters), counts))
    assert different == []


def test_slicer_util_calls_the_members_listed_here(app):
    import slicer

    source = inspect.getsource(slicer.util)
    assert {name for name in CALLED_BY_SLICER_UTIL if f".{name}()" in source} == CALLED_BY_SLICER_UTIL


def test_a_member_that_does_not_exist_would_be_found(app):
    from slicer_host.widgets.collapsible_button import ctkCollapsibleButton

    class Wrong(ctkCollapsibleButton):
        def openWide(self):
            pass

    Wrong.__module__ = "slicer_host.widgets.wrong"
    assert _undocumented(Wrong, "ctkCollapsibleButton") == {"openWide"}


def test_the_names_of_arguments_do_not_count_in_a_signature(app):
    from slicer_host.api_facts import normalized

    assert normalized("currentNodeChanged(vtkMRMLNode* node)") == "currentNodeChanged(vtkMRMLNode*)"
    assert normalized("currentNodeIDChanged(const QString& id)") == "currentNodeIDChanged(QString)"
    assert normalized("valueChanged(double value)") == "valueChanged(double)"
    assert normalized("layoutChanged(int)") == "layoutChanged(int)"
