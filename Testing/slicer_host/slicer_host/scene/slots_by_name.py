"""Signals of objects that are not Qt's own, connected by their names as PythonQt has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class SlotsByName:
    """What connects slots to the signals named in `SIGNATURES`, and sends them with `emit`."""

    SIGNATURES: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._slots: list[tuple[str, Callable[..., None]]] = []

    def connect(self, signal: str, slot: Callable[..., None]) -> bool:
        """Listen to a signal.

        Raises:
            ValueError: for a signal that the host does not send.
        """
        if signal not in self.SIGNATURES:
            raise ValueError(f"the host's {type(self).__name__} sends no {signal}")
        self._slots.append((signal, slot))
        return True

    def disconnect(self, signal: str, slot: Callable[..., None]) -> bool:
        """Stop listening."""
        if (signal, slot) not in self._slots:
            return False
        self._slots.remove((signal, slot))
        return True

    def emit(self, signal: str, *arguments: Any) -> None:
        """Call those who listen to a signal."""
        for known, slot in list(self._slots):
            if known == signal:
                slot(*arguments)
