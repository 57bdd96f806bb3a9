"""The hand of the user: clicks and drags with Qt's events, through the widgets and the views."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import slicer
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox


def click(widget: Any) -> None:
    """Press and release the left button in the middle of a widget, or on the square of a check box.

    Raises:
        AssertionError: when the user could not click it, being disabled or hidden.
    """
    assert widget.enabled, f"{widget.name} is disabled"
    assert widget.visible, f"{widget.name} is not shown"
    # A check box is as wide as its column and answers only on its square and text.
    place = QPoint(8, widget.height // 2) if isinstance(widget, QCheckBox) else widget.rect.center()
    QTest.mouseClick(widget, Qt.LeftButton, Qt.NoModifier, place)
    slicer.app.processEvents()


def _point(view: Any, ras: tuple[float, float, float]) -> QPoint:
    x, y = view.offscreen.pixel_of(ras)
    return QPoint(round(x), round(view.height - 1 - y))


def click_in_slice_view(view: Any, ras: tuple[float, float, float]) -> None:
    """Move to a point in RAS mm in a qMRMLSliceView and click there with the left button."""
    place = _point(view, ras)
    QTest.mouseMove(view, place)
    slicer.app.processEvents()
    QTest.mousePress(view, Qt.LeftButton, Qt.NoModifier, place)
    slicer.app.processEvents()
    QTest.mouseRelease(view, Qt.LeftButton, Qt.NoModifier, place)
    slicer.app.processEvents()


def drag_in_slice_view(
    view: Any, start: tuple[float, float, float], end: tuple[float, float, float], steps: int = 8
) -> None:
    """Drag from one point in RAS mm to another in a qMRMLSliceView, with the left button."""
    first, last = _point(view, start), _point(view, end)
    QTest.mouseMove(view, first)
    slicer.app.processEvents()
    QTest.mousePress(view, Qt.LeftButton, Qt.NoModifier, first)
    for step in range(1, steps + 1):
        QTest.mouseMove(view, first + (last - first) * (step / steps))
        slicer.app.processEvents()
    QTest.mouseRelease(view, Qt.LeftButton, Qt.NoModifier, last)
    slicer.app.processEvents()


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Let Qt run until something is so.

    Raises:
        TimeoutError: when it is not so in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds:g} s")
        slicer.app.processEvents()
        time.sleep(0.005)
