"""The module ``qt``, as Slicer has it."""

from __future__ import annotations

import sys
import types

from PySide6 import QtCore, QtGui, QtWidgets

from slicer_host.pythonqt.properties import add_pythonqt_members, show_properties_as_values
from slicer_host.pythonqt.signals import answer_connect
from slicer_host.pythonqt.ui_loader import UiLoader


def _pyside_classes() -> list[type]:
    """Every QObject class of PySide6, bases before the classes that derive from them."""
    found: set[type] = set()
    todo: list[type] = [QtCore.QObject]
    while todo:
        class_ = todo.pop()
        if class_.__module__.startswith("PySide6"):
            found.add(class_)
            todo += class_.__subclasses__()
    return sorted(found, key=lambda class_: len(class_.__mro__))


def make_qt_module() -> types.ModuleType:
    """Make ``qt`` importable, and PySide6's classes answer as PythonQt's. Once in a process."""
    qt = types.ModuleType("qt")
    for part in (QtCore, QtGui, QtWidgets):
        for name in dir(part):
            # Signal, Slot and Property do not begin with Q: PythonQt has none of them.
            if name.startswith("Q"):
                setattr(qt, name, getattr(part, name))
    qt.QUiLoader = UiLoader
    sys.modules["qt"] = qt
    classes = _pyside_classes()
    for class_ in classes:
        show_properties_as_values(class_)
    for class_ in classes:
        if "__getattribute__" in class_.__dict__:
            answer_connect(class_)
    add_pythonqt_members()
    return qt
