"""Signals in plain Python, so that logic needs neither Qt nor VTK to notify its listeners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """A list of callables (slots), called in the order in which they were connected.

    If a slot raises, the slots after it are still called, and the first error is raised at the end. Slots may connect
    and disconnect during an emission; this takes effect with the next one.

    Example:
        >>> changed = Signal()
        >>> changed.connect(print)
        >>> changed.emit("slice", 12)
        slice 12
        >>> changed.disconnect(print)
        >>> changed.emit("slice", 13)
    """

    def __init__(self) -> None:
        self._slots: list[Callable[..., Any]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        """Adds a slot; connecting it again has no effect."""
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Callable[..., Any] | None = None) -> None:
        """Removes a slot, or all slots by default; a slot that is not connected is no error."""
        if slot is None:
            self._slots.clear()
        elif slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *values: Any) -> None:
        """Calls every slot with the given values."""
        first_error: Exception | None = None
        for slot in list(self._slots):
            try:
                slot(*values)
            except Exception as error:  # the other slots are called, whatever goes wrong in this one
                first_error = first_error or error
        if first_error is not None:
            raise first_error
