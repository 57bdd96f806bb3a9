"""Keys that work wherever the mouse is: in the panel, and in the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer


class Keys:
    """Shortcuts of Slicer's window, enabled only where they are needed: of two for one key Qt calls neither.

    Args:
        widget: Has them where Slicer has no window.
    """

    def __init__(self, widget: Any) -> None:
        self._parent = slicer.util.mainWindow() or widget
        self._shortcuts: list[Any] = []

    def add(self, key: str, action: Callable[[], Any]) -> None:
        """Adds a key; it is disabled until `setEnabled`."""
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._parent)
        shortcut.setContext(qt.Qt.ApplicationShortcut)  # views may be in separate windows
        shortcut.setEnabled(False)
        shortcut.connect("activated()", action)
        self._shortcuts.append(shortcut)

    def setEnabled(self, isEnabled: bool) -> None:
        """Enables or disables all keys."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(isEnabled)

    def teardown(self) -> None:
        """Removes the keys from Slicer's window, which outlives the panel."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
