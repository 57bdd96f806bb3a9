"""Signals in plain Python, so that logic can tell its listeners something without knowing Qt or VTK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """A list of callables that are called in the order in which they were connected.

    A slot that raises does not keep the ones after it from being called; the first error is raised in the end, so that
    it is seen. Slots may connect and disconnect while the signal is emitted; that counts from the next time.

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
        """Calls `slot` at each emission from now on; connecting it again changes nothing."""
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Callable[..., Any] | None = None) -> None:
        """Forgets `slot`, or every slot where none is given; one that is not connected is no error."""
        if slot is None:
            self._slots.clear()
        elif slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *values: Any) -> None:
        """Calls every slot with these values."""
        first_error: Exception | None = None
        for slot in list(self._slots):
            try:
                slot(*values)
            except Exception as error:  # whatever a listener does wrong, the others still hear
                first_error = first_error or error
        if first_error is not None:
            raise first_error
