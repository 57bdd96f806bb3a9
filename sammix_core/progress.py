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

# During this stage the slices may be reordered, so that no box can be set on them.
DETECTING_ORIENTATION = "Detecting the orientation"
FITTING_BOXES = "Fitting the boxes"
FILLING_THIN_SLICES = "Filling in thin slices"


@dataclass(frozen=True)
class Progress:
    """The progress of one stage.

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
    """Counts the steps of one stage, reports them and checks whether the user wants to stop.

    Attributes:
        name: The stage's name.
        total: Steps of the stage.
        done: Steps so far.

    Example:
        >>> reporter = ProgressReporter("Reading", 2, lambda state: print(state.stage, state.done, state.total), None)
        Reading 0 2
        >>> reporter.step()
        Reading 1 2
    """

    def __init__(self, name: str, total: int, progress: ProgressCallback | None, cancel: CancelCheck | None) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self._progress = progress
        self._cancel = cancel
        self._start = time.monotonic()
        self._report()

    def step(self, count: int = 1) -> None:
        """Counts steps and reports them.

        Raises:
            Cancelled: The user stopped.
        """
        self.done += count
        self._report()

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._start

    def _report(self) -> None:
        if self._cancel is not None and self._cancel():
            raise Cancelled("Stopped as asked; nothing was written.")
        if self._progress is not None:
            seconds_left = self.seconds / self.done * (self.total - self.done) if self.done else None
            self._progress(Progress(self.name, self.done, self.total, seconds_left))


class Interrupts:
    """Handles SIGINT and SIGTERM inside a `with` block.

    Args:
        gently: The first signal only sets `asked`, so that the work can be saved first; the second one interrupts.
            Otherwise the first one interrupts at once, which is safe as long as nothing is being written.

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
