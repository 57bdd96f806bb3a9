"""All dialogs in one place, so that tests can replace them."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _


class Dialogs:
    """Modal dialogs."""

    def confirm(self, question: str) -> bool:
        """Asks a yes-or-no question."""
        return bool(slicer.util.confirmYesNoDisplay(question, windowTitle=_("SAMMix")))

    def fileToSave(self, title: str, name: str, formats: str) -> str:
        """Asks for a file name to save; returns a path, or "" if the user cancels."""
        return self._path(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, formats))

    def fileToOpen(self, title: str, formats: str) -> str:
        """Asks for a file to open; returns its path, or "" if the user cancels."""
        return self._path(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", formats))

    def folder(self, title: str) -> str:
        """Asks for a folder; returns its path, or "" if the user cancels."""
        return self._path(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title))

    @staticmethod
    def _path(answer: str | tuple[str, str]) -> str:
        # PythonQt returns the path, other bindings return path and format.
        return answer if isinstance(answer, str) else answer[0]
