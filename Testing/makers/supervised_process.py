"""A supervisor with a fake process and a fake clock, both controlled by the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker import supervisor as supervisor_module
from SAMMixSlicerLib.worker.supervisor import Supervisor

from sammix_core.boxes import Box

DONE, CANCELLED, FAILED, LOST = e.Outcome
RUN = c.Run("v", request=1)
EDIT = c.SegmentSlice("v", Box(0, 1, 1, 5, 5), request=2)
MODEL = c.LoadModel("liver", "cpu", request=3)


class FakeProcess:
    """A process that sends what the test puts into `outgoing`, and keeps what it received."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.outgoing: list[Any] = []
        self.isConnected = True
        self.hasEnded = False
        self.wasKilled = False

    def fileno(self) -> int:
        return 7

    def send(self, message: Any) -> None:
        self.received.append(message)

    def receive(self, seconds: float) -> list[Any]:
        messages, self.outgoing = self.outgoing, []
        return messages

    def lastOutput(self) -> str:
        return "segmentation fault"

    def kill(self) -> None:
        self.wasKilled = True

    def isGone(self, seconds: float = 0.0) -> bool:
        return self.wasKilled


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Harness:
    """A supervisor with its processes and its events."""

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.resume: list[c.Command] = []
        self.resume_calls: list[list[c.Command]] = []
        self.supervisor = Supervisor(self._start, self._resume)
        self.events: list[Any] = []

    def _start(self) -> Any:
        self.processes.append(FakeProcess())
        return self.processes[-1]

    def _resume(self, repeated: Sequence[c.Command]) -> list[c.Command]:
        self.resume_calls.append(list(repeated))
        return self.resume

    @property
    def process(self) -> FakeProcess:
        return self.processes[-1]

    def work(self) -> list[Any]:
        """Polls once, and returns the new events."""
        self.supervisor.work()
        events = []
        while (event := self.supervisor.next()) is not None:
            events.append(event)
        self.events += events
        return events


def a_clock_in(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the supervisor's clock with one that the test moves."""
    clock = Clock()
    monkeypatch.setattr(supervisor_module, "time", clock)
    return clock


def done(command: c.Command, outcome: e.Outcome = DONE) -> e.Finished:
    return e.Finished(command.request, type(command).__name__, "v", outcome)
