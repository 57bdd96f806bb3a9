"""Progress on stderr: a bar with the time left in a terminal, a line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress

from sammix_core.cli import console

if TYPE_CHECKING:
    from sammix_core.progress import Progress, ProgressCallback

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[ProgressCallback]:
    """Shows the progress of the work in the block.

    Args:
        quiet: Show nothing.

    Yields:
        A `ProgressCallback`.
    """
    screen = console.err()
    if quiet:
        yield lambda progress: None
    elif screen.is_terminal:
        with _Bar(screen) as bar:
            yield bar.update
    else:
        yield _Lines().update


def time_left(seconds: float | None) -> str:
    """The time left, such as "3 min 20 s left"; an empty text where it is unknown.

    Example:
        >>> time_left(200.4)
        '3 min 20 s left'
    """
    return "" if seconds is None else f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """Seconds as a text for people.

    Example:
        >>> duration(7.4), duration(3700)
        ('7 s', '1 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Bar:
    def __init__(self, screen: Console) -> None:
        self._bars = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[left]}"),
            console=screen,
            transient=True,
        )
        self._task = self._bars.add_task("Starting", total=None, count="", left="")

    def __enter__(self) -> _Bar:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, progress: Progress) -> None:
        # A stage with a total of 0 or 1 has no steps; the bar then moves by itself.
        total = progress.total if progress.total > 1 else None
        self._bars.update(
            self._task,
            description=progress.stage,
            completed=progress.done,
            total=total,
            count=f"{progress.done} of {total}" if total else "",
            left=time_left(progress.seconds_left),
        )


class _Lines:
    """One line when a stage begins, and one every few seconds within it, for logs and pipes."""

    def __init__(self) -> None:
        self._stage = ""
        self._last = 0.0

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage == self._stage and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        counted = f": {progress.done} of {progress.total}" if progress.total > 1 else ""
        left = time_left(progress.seconds_left)
        console.err().print(f"{progress.stage}{counted}{', ' if left else ''}{left}")
        self._stage, self._last = progress.stage, now
