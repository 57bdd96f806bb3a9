"""Drives a `Worker` in tests as the panel's timer does, and records its events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from SAMMixSlicerLib.worker import Event, Finished, ProcessDied, Worker
from SAMMixSlicerLib.worker.commands import Command
from synthetic_ct import ras_grid

IJK_TO_RAS = ras_grid(2.0, 5.0)  # an ordinary CT


class Recorder:
    """Records all events of a worker.

    Attributes:
        events: Events in order, and ("state", state, sentence) when the state has changed.
        polls: Duration of each `poll` in seconds.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.events: list[Any] = []
        self.polls: list[float] = []
        worker.on(Event).connect(self.events.append)
        worker.stateChanged.connect(lambda *change: self.events.append(("state", *change)))

    def of(self, kind: type) -> list[Any]:
        """The events of one class."""
        return [event for event in self.events if type(event) is kind]

    def deaths(self) -> list[tuple[str, str]]:
        """(sentence, detail) of each process that died."""
        return [(event.sentence, event.detail) for event in self.of(ProcessDied)]

    def poll(self) -> None:
        """Polls as the panel's timer does."""
        started = time.perf_counter()
        self.worker.poll()
        self.polls.append(time.perf_counter() - started)

    def freezes(self) -> int:
        """Share of polls that a user would notice, in percent; a busy machine may delay one or two of 100."""
        return round(100 * sum(seconds > 0.1 for seconds in self.polls) / len(self.polls))

    def until(self, happened: Callable[[], object], seconds: float = 120.0) -> None:
        """Polls until something has happened."""
        limit = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > limit:
                raise AssertionError(f"it did not happen in {seconds:g} s; the last events were {self.events[-20:]}")
            self.poll()
            time.sleep(0.002)

    def finished(self, request: int, seconds: float = 120.0) -> Finished:
        """Polls until a command has ended, and returns how."""
        self.until(lambda: any(event.request == request for event in self.of(Finished)), seconds)
        (finished,) = (event for event in self.of(Finished) if event.request == request)
        return finished

    def run(self, command: Command, seconds: float = 120.0) -> Finished:
        """Submits a command, and polls until it has ended."""
        return self.finished(self.worker.submit(command), seconds)
