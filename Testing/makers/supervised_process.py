"""A supervised process that does what the test says, and the clock by which it is judged."""

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
    """A process that says what the test puts into `says`."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.says: list[Any] = []
        self.isConnected = True
        self.hasEnded = False
        self.wasKilled = False

    def fileno(self) -> int:
        return 7

    def send(self, message: Any) -> None:
        self.heard.append(message)

    def receive(self, seconds: float) -> list[Any]:
        said, self.says = self.says, []
        return said

    def lastOutput(self) -> str:
        return "segmentation fault"

    def kill(self) -> None:
        self.wasKilled = True

    def isGone(self, seconds: float = 0.0) -> bool:
        return self.wasKilled


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class House:
    """A supervisor with its processes, and what it told."""

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.resume: list[c.Command] = []
        self.asked_to_resume: list[list[c.Command]] = []
        self.supervisor = Supervisor(self._start, self._resume)
        self.told: list[Any] = []

    def _start(self) -> Any:
        self.processes.append(FakeProcess())
        return self.processes[-1]

    def _resume(self, on_their_way: Sequence[c.Command]) -> list[c.Command]:
        self.asked_to_resume.append(list(on_their_way))
        return self.resume

    @property
    def process(self) -> FakeProcess:
        return self.processes[-1]

    def work(self) -> list[Any]:
        """One poll; what it told."""
        self.supervisor.work()
        told = []
        while (event := self.supervisor.next()) is not None:
            told.append(event)
        self.told += told
        return told


def a_clock_in(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Lets supervisors go by a clock of the test's own."""
    clock = Clock()
    monkeypatch.setattr(supervisor_module, "time", clock)
    return clock


def done(command: c.Command, outcome: e.Outcome = DONE) -> e.Finished:
    return e.Finished(command.request, type(command).__name__, "v", outcome)
