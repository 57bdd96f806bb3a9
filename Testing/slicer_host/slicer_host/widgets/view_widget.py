"""What the widgets round Slicer's views have in common: a picture from an offscreen view, and the mouse for it."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QHBoxLayout, QWidget

_PRESS = {
    Qt.LeftButton: vtk.vtkCommand.LeftButtonPressEvent,
    Qt.MiddleButton: vtk.vtkCommand.MiddleButtonPressEvent,
    Qt.RightButton: vtk.vtkCommand.RightButtonPressEvent,
}
_RELEASE = {
    Qt.LeftButton: vtk.vtkCommand.LeftButtonReleaseEvent,
    Qt.MiddleButton: vtk.vtkCommand.MiddleButtonReleaseEvent,
    Qt.RightButton: vtk.vtkCommand.RightButtonReleaseEvent,
}


class ViewOnScreen(QWidget):
    """Shows an offscreen view and hands Qt's mouse events to its VTK interactor, as QVTKOpenGLNativeWidget does.

    Args:
        view: a SliceView or ThreeDView of ``slicer_host.views``.
    """

    def __init__(self, view: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.offscreen = view
        self.setMinimumSize(200, 200)
        self.setMouseTracking(True)
        view.managers.AddObserver(vtk.vtkCommand.UpdateEvent, lambda *_: self.update())
        view.logic.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self.update())

    def renderWindow(self) -> Any:
        return self.offscreen.window

    def interactor(self) -> Any:
        return self.offscreen.interactor

    def interactorStyle(self) -> Any:
        return self.offscreen.style

    def forceRender(self) -> None:
        self._fit(self.width, self.height)
        if self.visible:
            self.repaint()
        else:
            # Qt paints no widget that is not on the screen; Slicer draws all the same.
            self.offscreen.render()

    def scheduleRender(self) -> None:
        self.update()

    def paintEvent(self, event: Any) -> None:
        pixels = self.offscreen.pixels()
        rows, columns, _ = pixels.shape
        image = QImage(pixels.data, columns, rows, columns * 3, QImage.Format_RGB888)
        QPainter(self).drawImage(0, 0, image)

    def resizeEvent(self, event: Any) -> None:
        self._fit(event.size().width(), event.size().height())

    def _fit(self, width: int, height: int) -> None:
        if self.offscreen.window.GetSize() != (width, height):
            self.offscreen.resize(width, height)

    def _send(self, event: Any, number: int) -> None:
        # VTK counts rows from below.
        y = self.height - 1 - event.position().y()
        modifiers = event.modifiers()
        control, shift = bool(modifiers & Qt.ControlModifier), bool(modifiers & Qt.ShiftModifier)
        self.offscreen.send(number, event.position().x(), y, control, shift)

    def mousePressEvent(self, event: Any) -> None:
        self._send(event, vtk.vtkCommand.MouseMoveEvent)
        self._send(event, _PRESS[event.button()])

    def mouseReleaseEvent(self, event: Any) -> None:
        self._send(event, _RELEASE[event.button()])

    def mouseMoveEvent(self, event: Any) -> None:
        self._send(event, vtk.vtkCommand.MouseMoveEvent)

    def wheelEvent(self, event: Any) -> None:
        forward = event.angleDelta().y() > 0
        self._send(event, vtk.vtkCommand.MouseWheelForwardEvent if forward else vtk.vtkCommand.MouseWheelBackwardEvent)


def surround(widget: QWidget, view: QWidget) -> None:
    """Let a view fill a widget."""
    layout = QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(view)
