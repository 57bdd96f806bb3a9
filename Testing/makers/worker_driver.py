"""Drives a `Worker` in tests, as the panel's timer does, and remembers what it told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from SAMMixSlicerLib.worker import Finished, Worker

# i to the patient's right, j to the front, k upwards: an ordinary CT.
IJK_TO_RAS = np.diag([-2.0, -2.0, 5.0, 1.0])


class Recorder:
    """Listens to every signal of a worker.

    Attributes:
        events: What was told, in order: events as they are, ("died", sentence, detail), ("state", state, sentence).
        polls: Seconds of each `poll`.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.events: list[Any] = []
        self.polls: list[float] = []
        for name, signal in vars(worker).items():
            if hasattr(signal, "emit") and name not in ("died", "stateChanged"):
                signal.connect(self.events.append)
        worker.died.connect(lambda *told: self.events.append(("died", *told)))
        worker.stateChanged.connect(lambda *told: self.events.append(("state", *told)))

    def of(self, kind: type) -> list[Any]:
        """The events of one class."""
        return [event for event in self.events if type(event) is kind]

    def deaths(self) -> list[tuple[str, str]]:
        """What was said of processes that died."""
        return [event[1:] for event in self.events if isinstance(event, tuple) and event[0] == "died"]

    def poll(self) -> None:
        """What the panel's timer does."""
        started = time.perf_counter()
        self.worker.poll()
        self.polls.append(time.perf_counter() - started)

    def freezes(self) -> int:
        """Polls that a user would feel, of 100; a busy machine may put one or two of them aside."""
        return round(100 * sum(seconds > 0.1 for seconds in self.polls) / len(self.polls))

    def until(self, happened: Callable[[], object], seconds: float = 120.0) -> None:
        """Polls until something has happened."""
        limit = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > limit:
                raise AssertionError(f"it did not happen in {seconds:g} s; told were {self.events[-20:]}")
            self.poll()
            time.sleep(0.002)

    def finished(self, request: int, seconds: float = 120.0) -> Finished:
        """Polls until a command has ended; how it did."""
        self.until(lambda: any(event.request == request for event in self.of(Finished)), seconds)
        (only,) = (event for event in self.of(Finished) if event.request == request)
        return only
