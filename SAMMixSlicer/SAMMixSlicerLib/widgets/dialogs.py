"""Questions to the user, in one place so that tests can answer them."""

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
        """Asks where to save, and returns a path or ""."""
        return self._path(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, formats))

    def fileToOpen(self, title: str, formats: str) -> str:
        """Asks for a file, and returns its path or ""."""
        return self._path(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", formats))

    def folder(self, title: str) -> str:
        """Asks for a folder, and returns its path or ""."""
        return self._path(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title))

    @staticmethod
    def _path(answer: str | tuple[str, str]) -> str:
        # PythonQt returns the path, other bindings the path and the format.
        return answer if isinstance(answer, str) else answer[0]
