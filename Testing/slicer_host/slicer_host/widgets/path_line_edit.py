"""ctkPathLineEdit: a field for the path of a file or folder."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QToolButton, QWidget

from slicer_host.widgets.registry import stand_in


@stand_in
class ctkPathLineEdit(QWidget):
    """A line with a path, and a button to browse, which does nothing here."""

    currentPathChanged = Signal(str)
    SIGNATURES = ("currentPathChanged(QString)",)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line = QLineEdit()
        browse = QToolButton()
        browse.setText("...")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(browse)
        self._filters: Any = 0
        self._name_filters: list[str] = []
        self._setting_key = ""
        self._line.textChanged.connect(self.currentPathChanged)

    def setCurrentPath(self, path: str) -> None:
        self._line.setText(path)

    currentPath = Property(str, lambda self: self._line.text, setCurrentPath)
    filters = Property("int", lambda self: self._filters, lambda self, value: setattr(self, "_filters", value))
    nameFilters = Property(
        "QStringList",
        lambda self: tuple(self._name_filters),
        lambda self, value: setattr(self, "_name_filters", list(value)),
    )
    settingKey = Property(str, lambda self: self._setting_key, lambda self, value: setattr(self, "_setting_key", value))
