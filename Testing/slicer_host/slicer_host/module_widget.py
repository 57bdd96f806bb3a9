"""qSlicerScriptedLoadableModuleWidget: the frame in which the panel of a scripted module lives."""

from __future__ import annotations

import sys
from typing import Any

import slicer
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget


class qSlicerScriptedLoadableModuleWidget(QWidget):
    """Makes the module's widget class, and another one on a reload, which Slicer does not enter.

    Args:
        module_name: name of the module, whose Python file has been imported.
    """

    mrmlSceneChanged = Signal(object)
    SIGNATURES = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, module_name: str) -> None:
        super().__init__()
        self.moduleName = module_name
        self.isEntered = False
        self._scripted: Any = None
        self.setLayout(QVBoxLayout())

    def setMRMLScene(self, scene: Any) -> None:
        """Tell those who listen which scene it is."""
        self.mrmlSceneChanged.emit(scene)

    def self(self) -> Any:
        """The instance of the module's widget class."""
        return self._scripted

    def reload(self) -> None:
        """Make the widget from the class as it is imported now."""
        name = f"{self.moduleName}Widget"
        self._scripted = getattr(sys.modules[self.moduleName], name)(self)
        setattr(slicer.modules, name, self._scripted)
        self._scripted.setup()

    def enter(self) -> None:
        """The user opens the module."""
        self.isEntered = True
        self._call("enter")

    def exit(self) -> None:
        """The user goes to another module."""
        self.isEntered = False
        self._call("exit")

    def _call(self, name: str) -> None:
        if hasattr(self._scripted, name):
            getattr(self._scripted, name)()
