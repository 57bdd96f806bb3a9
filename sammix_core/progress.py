"""Progress and cancelling of long work, with no GUI framework in it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from sammix_core.errors import Cancelled

# While this stage goes on the slices are being turned, and no box can be put on them.
LOOKING_WHICH_WAY_UP = "Looking which way up it lies"
FITTING_BOXES = "Fitting the boxes"
LOOKING_BETWEEN = "Looking at slices between"


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        stage: Short name of what is being done.
        done, total: Steps of the stage.
        seconds_left: Estimate for this stage, or None before there is one.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None


ProgressCallback = Callable[[Progress], None]
CancelCheck = Callable[[], bool]


class ProgressReporter:
    """Counts the steps of one stage, tells them and looks whether the user wants to stop."""

    def __init__(self, name: str, total: int, progress: ProgressCallback | None, cancel: CancelCheck | None) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self._progress = progress
        self._cancel = cancel
        self._start = time.monotonic()
        self._tell()

    def step(self, count: int = 1) -> None:
        """Notes that `count` steps are done.

        Raises:
            Cancelled: The user asked to stop.
        """
        self.done += count
        self._tell()

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._start

    def _tell(self) -> None:
        if self._cancel is not None and self._cancel():
            raise Cancelled("Stopped as asked; nothing was written.")
        if self._progress is not None:
            left = self.seconds / self.done * (self.total - self.done) if self.done else None
            self._progress(Progress(self.name, self.done, self.total, left))


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
