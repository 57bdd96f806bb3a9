"""``slicer.app`` with Qt: settings, views, events, and the signals of the application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from slicer_host.scene.application import CoreApplication
from slicer_host.scene.slots_by_name import SlotsByName


class Application(CoreApplication, SlotsByName):
    """Stand-in of qSlicerApplication. What it does not know, the QApplication of the process answers."""

    SIGNATURES = ("startupCompleted()", "aboutToQuit()")

    def __init__(self, scene: Any, logic: Any) -> None:
        CoreApplication.__init__(self, scene, logic)
        SlotsByName.__init__(self)
        self._layout_manager: Any = None
        # In the temporary folder, so that no test reads or leaves settings of the user.
        self._settings = QSettings(str(Path(self.temporaryPath) / "settings.ini"), QSettings.IniFormat)

    def settings(self) -> QSettings:
        """The settings of this version of Slicer."""
        return self._settings

    def userSettings(self) -> QSettings:
        """The settings of the user."""
        return self._settings

    def layoutManager(self) -> Any:
        """The views."""
        return self._layout_manager

    def setLayoutManager(self, layout_manager: Any) -> None:
        """Give the application its views."""
        self._layout_manager = layout_manager

    def topLevelWidgets(self) -> list[Any]:
        """All windows, where slicer.util.mainWindow looks for its own."""
        return QApplication.topLevelWidgets()

    def processEvents(self, *_: Any) -> None:
        """Let Qt draw, and run its timers."""
        QApplication.processEvents()

    def __getattr__(self, name: str) -> Any:
        return getattr(QApplication.instance(), name)
