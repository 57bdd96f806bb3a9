"""Stops a training so far into a stage, as a user would, and remembers what it reported."""

from __future__ import annotations

from sammix_core.progress import Progress


class Stop:
    """A progress callback, and a cancel check that wants to stop once a stage has done so many steps.

    Args:
        stage: How the stage's name begins.
        done: After how many of its steps.

    Attributes:
        seen: What was reported.
    """

    def __init__(self, stage: str, done: int) -> None:
        self._stage, self._done = stage, done
        self.seen: list[Progress] = []

    def report(self, progress: Progress) -> None:
        """Hears what the training reports."""
        self.seen.append(progress)

    def is_wanted(self) -> bool:
        """Whether to stop."""
        return any(now.stage.startswith(self._stage) and now.done >= self._done for now in self.seen)
