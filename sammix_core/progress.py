"""Progress and cancelling of long work, with no GUI framework in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

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


class Stage:
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
