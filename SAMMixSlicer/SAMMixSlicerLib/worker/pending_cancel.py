"""A command that was asked to stop, and how long one waits for it."""

from __future__ import annotations

from dataclasses import dataclass

# The user has an answer by then, whatever the process does.
CANCEL_SECONDS = 1.0
# A process that has not even heard a cancel by then is ended, and one that has heard it and does not stop.
_DEAF_SECONDS = 5.0
_STOP_SECONDS = 15.0


@dataclass
class PendingCancel:
    """A command that was asked to stop.

    Attributes:
        asked: When, in seconds of `time.monotonic`.
        isHeard: Whether the process has said that it heard.
    """

    asked: float
    isHeard: bool = False

    def needsAnswer(self, now: float) -> bool:
        """Whether the user has waited long enough, and is told without the process."""
        return not self.isHeard and now - self.asked > CANCEL_SECONDS

    def isOverdue(self, now: float) -> bool:
        """Whether the process has to be ended."""
        return now - self.asked > (_STOP_SECONDS if self.isHeard else _DEAF_SECONDS)
