"""Ctrl-C and termination, so that a command stops soon and leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Takes SIGINT and SIGTERM while it is entered.

    Args:
        gently: The first signal only sets `asked`, so that the work can save itself first; the second one interrupts.
            Otherwise the first one interrupts at once, which nothing minds as long as nothing is written.

    Example:
        >>> with Interrupts(gently=True) as interrupts:
        ...     interrupts.asked()
        False
    """

    def __init__(self, *, gently: bool = False) -> None:
        self._gently = gently
        self._asked = False
        self._held = False
        self._before: dict[int, signal._HANDLER] = {}

    def asked(self) -> bool:
        """Whether the user wants to stop; a `CancelCheck`."""
        return self._asked

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lets the block finish first, for the moment in which all outputs get their names.

        Raises:
            KeyboardInterrupt: At the start, when the user asked before.
        """
        self._held = True
        try:
            if self._asked and not self._gently:
                raise KeyboardInterrupt
            yield
        finally:
            self._held = False

    def __enter__(self) -> Interrupts:
        # Python sets handlers on its main thread only; elsewhere the host keeps its own.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # nohup, and shells for what they run in the background, have it ignored; so it stays.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        again = self._asked
        self._asked = True
        if self._gently and not again:
            # Not print(): a signal may come in the middle of one, which it would find locked.
            os.write(2, b"\nStopping; press Ctrl-C again to stop at once.\n")
        if not self._held and (again or not self._gently):
            raise KeyboardInterrupt
