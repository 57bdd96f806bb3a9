"""``slicer.app`` with Qt: settings, views, events, and the signals of the application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from slicer_host.scene.application import CoreApplication

_SIGNALS = ("startupCompleted()", "aboutToQuit()")


class Application(CoreApplication):
    """Stand-in of qSlicerApplication. What it does not know, the QApplication of the process answers."""

    def __init__(self, scene: Any, logic: Any) -> None:
        super().__init__(scene, logic)
        self._layout_manager: Any = None
        self._slots: list[tuple[str, Callable[..., None]]] = []
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

    def connect(self, signal: str, slot: Callable[..., None]) -> bool:
        """Listen to a signal of the application; ``emit`` sends it.

        Raises:
            ValueError: for a signal that the host does not send.
        """
        if signal not in _SIGNALS:
            raise ValueError(f"the host's application sends no {signal}")
        self._slots.append((signal, slot))
        return True

    def disconnect(self, signal: str, slot: Callable[..., None]) -> bool:
        """Stop listening."""
        if (signal, slot) not in self._slots:
            return False
        self._slots.remove((signal, slot))
        return True

    def emit(self, signal: str) -> None:
        """Send a signal, e.g. ``startupCompleted()`` after the modules were loaded."""
        for known, slot in list(self._slots):
            if known == signal:
                slot()

    def __getattr__(self, name: str) -> Any:
        return getattr(QApplication.instance(), name)
