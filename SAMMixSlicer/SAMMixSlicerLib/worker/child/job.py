"""A command being done: what it is told to stop by, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Job:
    """A command being done.

    Attributes:
        request: Its number.
        arrived_at: When it came, in seconds of `time.monotonic`.
        is_cancelled: Whether it shall stop; asked between slices.
        others_wait: Whether there is anything else to do.
        may_be_interrupted: Whether edits of single slices may be done between its slices.
        changed: Slices that it has changed.
        protected: Slices that it left alone because they were corrected by hand.
    """

    request: int
    arrived_at: float
    is_cancelled: Callable[[], bool] = lambda: False
    others_wait: Callable[[], bool] = lambda: False
    may_be_interrupted: bool = False
    changed: set[int] = field(default_factory=set)
    protected: list[int] = field(default_factory=list)

    def left_out(self) -> str:
        """What to say of the slices that were left alone; empty where there are none."""
        if not self.protected:
            return ""
        if len(self.protected) == 1:
            return f"Slice {self.protected[0]} was corrected by hand and stays as it is."
        return f"{len(self.protected)} slices were corrected by hand and stay as they are."
