"""ctkCollapsibleButton: the heading of a section of a panel, which opens and closes it."""

from __future__ import annotations

from typing import Any

import shiboken6
from PySide6.QtCore import Property, QEvent, QObject, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QAbstractButton, QStyle, QStyleOption, QWidget

from slicer_host.widgets.registry import stand_in

_HEADING = 24  # pixels


@stand_in
class ctkCollapsibleButton(QAbstractButton):
    """A button with the section's widgets inside; they are hidden while it is collapsed."""

    contentsCollapsed = Signal(bool)
    SIGNATURES = ("contentsCollapsed(bool)",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(next((argument for argument in arguments if isinstance(argument, QWidget)), None))
        self._hidden: list[QWidget] = []
        self.setContentsMargins(0, _HEADING, 0, 0)
        self.setCheckable(True)
        self.setChecked(True)
        if arguments and isinstance(arguments[0], str):
            self.setText(arguments[0])
        self.toggled.connect(self._show_contents)
        self.toggled.connect(lambda opened: self.contentsCollapsed.emit(not opened))

    collapsed = Property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))

    def hitButton(self, position: Any) -> bool:
        return position.y() < _HEADING

    def sizeHint(self) -> QSize:
        return self._size(QSize(80, _HEADING), "totalSizeHint")

    def minimumSizeHint(self) -> QSize:
        return self._size(QSize(80, _HEADING), "totalMinimumSize")

    def _size(self, heading: QSize, of_contents: str) -> QSize:
        if not self.checked or self.layout() is None:
            return heading
        return getattr(self.layout(), of_contents)()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        heading = QRect(0, 0, self.width, _HEADING - 2)
        painter.fillRect(heading, self.palette.button())
        arrow = QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QRect(6, 5, 12, 12)
        element = QStyle.PE_IndicatorArrowDown if self.checked else QStyle.PE_IndicatorArrowRight
        self.style().drawPrimitive(element, arrow, painter, self)
        font = self.font
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(heading.adjusted(24, 0, -4, 0), Qt.AlignVCenter | Qt.AlignLeft, self.text)

    def showEvent(self, event: Any) -> None:
        self._show_contents(self.checked)

    def eventFilter(self, child: QObject, event: QEvent) -> bool:
        """What the module shows inside of a closed section is seen when it is opened, as ctk has it."""
        if not self.checked and event.type() == QEvent.ShowToParent:
            self._hidden.append(child)
            child.hide()
        return False

    def _show_contents(self, opened: bool) -> None:
        """Hide what is inside, and show again only what was hidden here and not by the module itself."""
        if opened:
            for widget in self._hidden:
                if shiboken6.isValid(widget):
                    widget.show()
            self._hidden = []
        else:
            for widget in self.findChildren(QWidget, options=Qt.FindDirectChildrenOnly):
                widget.installEventFilter(self)
                if not widget.isHidden():
                    widget.hide()
                    self._hidden.append(widget)
        self.updateGeometry()
