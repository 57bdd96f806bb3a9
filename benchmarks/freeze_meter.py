"""How long Qt's event loop is held by one event: what a user feels as a freeze."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication


@dataclass(frozen=True)
class Step:
    """One event, from its delivery until the loop can take the next one.

    Attributes:
        name: Type of the event and class of its receiver.
        wall_ms: Time on the clock.
        cpu_ms: Time that the main thread computed; what other programs took from it is not in it.
        draw_ms: Part of wall_ms in which views were drawn (by the CPU here, by the graphics card in Slicer).
    """

    name: str
    wall_ms: float
    cpu_ms: float
    draw_ms: float

    @property
    def ours_ms(self) -> float:
        """Time on the clock without the drawing of views."""
        return self.wall_ms - self.draw_ms


class FreezeMeter(QApplication):
    """An application that notes how long every event takes; events inside of events belong to the outer one."""

    def __init__(self) -> None:
        super().__init__(["freeze"])
        self.steps: list[Step] = []
        self._depth = 0
        self._draw_ms = 0.0

    def notify(self, receiver: QObject, event: QEvent) -> bool:
        """Delivers an event as Qt does, and takes the time."""
        if self._depth:
            return super().notify(receiver, event)
        return self.timed(lambda: f"{event.type().name} {type(receiver).__name__}", super().notify, receiver, event)

    def timed(self, name: Callable[[], str], function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function as one step."""
        called = name()  # the receiver may be gone afterwards
        self._depth += 1
        self._draw_ms = 0.0
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return function(*arguments)
        finally:
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            self._depth -= 1
            self.steps.append(Step(called, 1000 * wall, 1000 * cpu, self._draw_ms))

    def watch_drawing(self, widget_class: type) -> None:
        """Takes the time that a class of widgets takes to paint."""
        paint = widget_class.paintEvent  # type: ignore[attr-defined]

        def measured(widget: Any, event: Any) -> None:
            started = time.perf_counter()
            try:
                paint(widget, event)
            finally:
                self._draw_ms += 1000 * (time.perf_counter() - started)

        widget_class.paintEvent = measured  # type: ignore[attr-defined]
