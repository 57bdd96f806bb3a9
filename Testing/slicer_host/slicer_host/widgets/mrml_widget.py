"""qMRMLWidget: the widget at the root of a module's Designer file, which hands the scene to those inside."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from slicer_host.widgets.registry import stand_in


@stand_in
class qMRMLWidget(QWidget):
    """Keeps the scene and gives it to the receivers that the Designer file names, and to no others."""

    mrmlSceneChanged = Signal(object)
    SIGNATURES = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._receivers: list[Any] = []

    def _add_scene_receiver(self, receiver: Any) -> None:
        """For the loader of Designer files alone."""
        self._receivers.append(receiver)

    def mrmlScene(self) -> Any:
        """The scene, None before it was set."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        """Take a scene and hand it on."""
        self._scene = scene
        for receiver in self._receivers:
            receiver.setMRMLScene(scene)
        self.mrmlSceneChanged.emit(scene)
