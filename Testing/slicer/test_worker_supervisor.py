"""The supervisor with a process that the test controls: order, deaths, failure, volumes in transit."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from SAMMixSlicerLib.worker import Worker
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import descriptions as d
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker.outbox import PendingOpen
from SAMMixSlicerLib.worker.supervisor import ProcessDied, Supervisor
from SAMMixSlicerLib.worker.volume_state import VolumeState
from supervised_process import EDIT, FAILED, LOST, MODEL, RUN, Clock, Harness, a_clock_in, done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return a_clock_in(monkeypatch)


@pytest.fixture
def harness(clock: Clock) -> Harness:
    return Harness()


def test_commands_are_sent_in_order_and_end_once(harness: Harness) -> None:
    harness.supervisor.submit(MODEL)
    harness.supervisor.submit(RUN)
    harness.work()
    assert len(harness.processes) == 1
    assert harness.process.received == [MODEL, RUN]
    assert harness.supervisor.commands() == [MODEL, RUN]
    harness.process.outgoing = [done(MODEL), done(RUN), done(RUN)]
    assert harness.work() == [done(MODEL), done(RUN)]
    assert harness.supervisor.commands() == []


def test_nothing_is_sent_before_the_process_has_connected(harness: Harness) -> None:
    harness.supervisor.submit(RUN)
    harness.process.isConnected = False
    harness.work()
    assert harness.process.received == []
    harness.process.isConnected = True
    harness.work()
    assert harness.process.received == [RUN]


# Dying


def test_a_death_is_reported_and_a_new_process_continues(harness: Harness) -> None:
    for command in (MODEL, RUN):
        harness.supervisor.submit(command)
    harness.work()
    harness.supervisor.submit(EDIT)  # not sent yet
    first = harness.process
    first.hasEnded = True
    harness.resume = [c.LoadModel("liver", "cpu", request=9)]
    died, lost = harness.work()
    assert isinstance(died, ProcessDied)
    assert "ended unexpectedly" in died.sentence
    assert died.detail == lost.detail == "segmentation fault"
    assert (lost.request, lost.command, lost.outcome, lost.sentence) == (1, "Run", LOST, died.sentence)
    assert first.wasKilled
    # A model that was being loaded is loaded again; what had not been sent is not lost.
    assert harness.resume_calls == [[MODEL, EDIT]]
    harness.work()
    assert harness.processes[1].received == [harness.resume[0], MODEL, EDIT]
    harness.process.outgoing = [done(MODEL), done(EDIT)]
    assert harness.work() == [done(MODEL), done(EDIT)]


def test_after_three_deaths_in_a_row_there_is_no_new_process_until_a_restart(harness: Harness) -> None:
    harness.supervisor.submit(MODEL)
    for _ in range(3):
        harness.work()
        harness.process.hasEnded = True
        harness.work()
    assert len(harness.processes) == 3
    *_, lost, died = harness.events
    assert (lost.request, lost.outcome) == (3, LOST)
    assert "three times" in died.sentence
    assert died.sentence == harness.supervisor.fault
    assert not harness.supervisor.isRunning

    harness.supervisor.submit(RUN)
    (refused,) = harness.work()
    assert (refused.request, refused.outcome, refused.sentence) == (1, FAILED, died.sentence)
    assert len(harness.processes) == 3

    harness.supervisor.restart()
    harness.supervisor.submit(EDIT)
    harness.work()
    assert harness.process.received == [EDIT]
    assert harness.supervisor.fault == ""


def test_deaths_with_finished_commands_between_them_do_not_add_up(harness: Harness) -> None:
    for _ in range(5):
        harness.supervisor.submit(EDIT)
        harness.work()
        harness.process.outgoing = [done(EDIT)]
        harness.work()
        harness.process.hasEnded = True
        harness.work()
    assert harness.supervisor.fault == ""
    assert len(harness.processes) == 6


def test_an_interpreter_that_cannot_be_started_is_reported() -> None:
    def start() -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    supervisor = Supervisor(start, lambda _: [])
    supervisor.submit(RUN)
    lost, died = supervisor.next(), supervisor.next()
    assert isinstance(lost, e.Finished)
    assert isinstance(died, ProcessDied)
    assert (lost.request, lost.outcome) == (1, LOST)
    assert died.sentence == "The computing process could not be started (No such file or directory)."


# Volumes


def a_volume() -> VolumeState:
    return VolumeState("v", np.ones((3, 4, 5), np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]), True)


def test_a_volume_goes_through_shared_memory_and_its_block_is_released(harness: Harness) -> None:
    volume = a_volume()
    opening = PendingOpen("v", volume, request=4)
    harness.supervisor.submit(opening)
    harness.supervisor.submit(RUN)
    while not any(isinstance(message, c.Run) for message in harness.process.received):
        harness.work()
    made, opened, _ = harness.process.received
    assert isinstance(made, c.BlockCreated)
    assert isinstance(opened, c.OpenVolume)
    assert (opened.request, opened.block.name, opened.block.shape) == (4, made.name, (3, 4, 5))
    from SAMMixSlicerLib.worker.shared_array import AttachedArray

    attached = AttachedArray(opened.block)
    assert attached.array.all()
    attached.close()
    harness.process.outgoing = [done(opened)]
    harness.work()
    with pytest.raises(FileNotFoundError):
        AttachedArray(opened.block)


def test_blocks_are_released_when_the_process_dies_or_stops(harness: Harness) -> None:
    from SAMMixSlicerLib.worker.shared_array import AttachedArray

    for end in ("dies", "stops"):
        harness.supervisor.submit(PendingOpen("v", a_volume(), request=4))
        while not any(isinstance(message, c.OpenVolume) for message in harness.process.received):
            harness.work()
        block = harness.process.received[-1].block
        if end == "dies":
            harness.process.hasEnded = True
            harness.work()
        else:
            harness.supervisor.stop(0)
        with pytest.raises(FileNotFoundError):
            AttachedArray(block)
        if end == "dies":
            while not any(isinstance(message, c.OpenVolume) for message in harness.process.received):
                harness.work()
            assert harness.process.received[-1].request == 4, "the volume was not opened again"
            harness.supervisor.stop(0)
    assert harness.supervisor.commands() == []


def test_too_little_memory_for_a_volume_fails_only_that_command(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SAMMixSlicerLib.worker import outbox

    from sammix_core.errors import InputError

    def too_little(array: np.ndarray) -> None:
        raise InputError("There is too little shared memory.")

    monkeypatch.setattr(outbox, "Upload", too_little)
    harness.supervisor.submit(PendingOpen("v", a_volume(), request=4))
    harness.supervisor.submit(EDIT)
    (finished,) = harness.work()
    assert (finished.request, finished.command, finished.outcome) == (4, "OpenVolume", FAILED)
    assert finished.sentence == "There is too little shared memory."
    harness.work()
    assert harness.process.received == [EDIT]


def test_events_that_take_long_to_handle_are_spread_over_several_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker("no interpreter is needed")
    inbox = [d.Description({}, (), ()) for _ in range(3)]
    monkeypatch.setattr(worker._supervisor, "next", lambda: inbox.pop() if inbox else None)
    worker.on(d.Description).connect(lambda _event: time.sleep(0.03))
    for left in (2, 1, 0):
        worker.poll()
        assert len(inbox) == left
