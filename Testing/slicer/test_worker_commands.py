"""The commands of the worker: each has a handler, and its traits are its own."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from SAMMixSlicerLib.worker import Worker
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import lesion_commands as lc
from SAMMixSlicerLib.worker import mask_commands as mc
from SAMMixSlicerLib.worker.child.dispatcher import Dispatcher
from SAMMixSlicerLib.worker.child.job import Job, handlers_of, handles
from SAMMixSlicerLib.worker.outbox import PendingOpen

from sammix_core.boxes import Box

BLOCK = c.Block("x", (1, 1, 1), "<i2")
BOX = Box(0, 1, 1, 5, 5)


def all_commands(base: type[c.Command] = c.Command) -> set[type[c.Command]]:
    """Every kind of command that the module can send."""
    children = set(base.__subclasses__())
    kinds = children.union(*(all_commands(child) for child in children)) if children else set()
    return kinds - {c.VolumeCommand, mc.MaskCommand, PendingOpen}


def test_each_command_has_a_handler() -> None:
    handlers = Dispatcher(lambda _event: None, 10**9).handlers
    commands = {command for command in all_commands() if command.__module__.startswith("SAMMixSlicerLib")}
    assert len(commands) >= 20
    assert handlers.keys() == commands


def test_a_command_is_defined_in_one_place_and_handled_in_another() -> None:
    """As the docstring of `SAMMixSlicerLib.worker.commands` says; no table has to know the command."""

    class Ping(c.Command):
        pass

    class Handlers:
        def __init__(self) -> None:
            self.handled: list[int] = []

        @handles(Ping)
        def ping(self, command: Ping, job: Job) -> None:
            self.handled.append(job.request)

    owner = Handlers()
    handlers_of(owner)[Ping](Ping(), Job(7, 0.0))
    assert owner.handled == [7]


def test_submitting_numbers_commands_and_leaves_the_callers_own_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, submitted = Worker("no interpreter is needed"), []
    monkeypatch.setattr(worker._supervisor, "submit", submitted.append)
    run = c.Run("v")
    assert [worker.submit(run), worker.submit(run)] == [1, 2]
    assert submitted == [c.Run("v", request=1), c.Run("v", request=2)]
    assert run.request == 0


def test_an_event_is_emitted_by_the_signal_of_its_class_and_of_its_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    from SAMMixSlicerLib.worker.events import CancelAcknowledged, Event, MaskMeasured

    worker, received = Worker("no interpreter is needed"), []
    for kind in (Event, CancelAcknowledged, MaskMeasured):
        worker.on(kind).connect(lambda event, kind=kind: received.append((kind, event)))
    inbox = [CancelAcknowledged(3)]
    monkeypatch.setattr(worker._supervisor, "next", lambda: inbox.pop() if inbox else None)
    worker.poll()
    assert received == [(CancelAcknowledged, CancelAcknowledged(3)), (Event, CancelAcknowledged(3))]


@pytest.mark.parametrize(
    ("command", "traits"),
    [
        (c.Describe(), "repeatable"),
        (c.LoadModel("liver"), "repeatable"),
        (c.OpenVolume("v", BLOCK, np.eye(4), True), "repeatable"),
        (c.CloseVolume("v"), "repeatable"),
        (c.SetStates("v", ()), "quick"),
        (c.Run("v"), "stoppable"),
        (c.SegmentSlice("v", BOX), "stoppable quick"),
        (c.DeleteBox("v", 1, 0), "stoppable quick"),
        (c.FetchCam("v", (1,)), "stoppable quick"),
        (lc.FindLesions("v", ()), "stoppable"),
        (lc.ClickLesion("v", (1, 1, 1), True, ()), "stoppable"),
        (lc.RefineLesion("v", 1, ()), "stoppable"),
        (lc.MeasureLesions("v", {}), "quick"),
        (mc.SaveCorrections("v", (1,), "folder", "liver"), "quick"),
    ],
    ids=lambda value: value.name if isinstance(value, c.Command) else "",
)
def test_each_command_carries_its_own_traits_also_after_pickling(command: Any, traits: str) -> None:
    for arrived in (command, pickle.loads(pickle.dumps(command))):
        assert " ".join(name for name in ("stoppable", "repeatable", "quick") if getattr(arrived, name)) == traits
