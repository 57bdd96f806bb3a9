"""Looking after a process, with one that does what the test says: order, dying, giving up, volumes on the way."""

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
from supervised_process import EDIT, FAILED, LOST, MODEL, RUN, Clock, House, a_clock_in, done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return a_clock_in(monkeypatch)


@pytest.fixture
def house(clock: Clock) -> House:
    return House()


def test_commands_are_sent_in_order_and_end_once(house: House) -> None:
    house.supervisor.submit(MODEL)
    house.supervisor.submit(RUN)
    house.work()
    assert len(house.processes) == 1
    assert house.process.heard == [MODEL, RUN]
    assert house.supervisor.commands() == [MODEL, RUN]
    house.process.says = [done(MODEL), done(RUN), done(RUN)]
    assert house.work() == [done(MODEL), done(RUN)]
    assert house.supervisor.commands() == []


def test_nothing_is_sent_before_the_process_has_called(house: House) -> None:
    house.supervisor.submit(RUN)
    house.process.isConnected = False
    house.work()
    assert house.process.heard == []
    house.process.isConnected = True
    house.work()
    assert house.process.heard == [RUN]


# Dying


def test_a_death_is_told_and_work_goes_on_in_a_new_process(house: House) -> None:
    for command in (MODEL, RUN):
        house.supervisor.submit(command)
    house.work()
    house.supervisor.submit(EDIT)  # not sent yet
    first = house.process
    first.hasEnded = True
    house.resume = [c.LoadModel("liver", "cpu", request=9)]
    died, lost = house.work()
    assert isinstance(died, ProcessDied)
    assert "ended unexpectedly" in died.sentence
    assert died.detail == lost.detail == "segmentation fault"
    assert (lost.request, lost.command, lost.outcome, lost.sentence) == (1, "Run", LOST, died.sentence)
    assert first.wasKilled
    # A model that was being loaded is loaded again; what had not been sent is not lost.
    assert house.asked_to_resume == [[MODEL, EDIT]]
    house.work()
    assert house.processes[1].heard == [house.resume[0], MODEL, EDIT]
    house.process.says = [done(MODEL), done(EDIT)]
    assert house.work() == [done(MODEL), done(EDIT)]


def test_after_three_deaths_in_a_row_it_is_given_up_until_someone_restarts(house: House) -> None:
    house.supervisor.submit(MODEL)
    for _ in range(3):
        house.work()
        house.process.hasEnded = True
        house.work()
    assert len(house.processes) == 3
    *_, lost, died = house.told
    assert (lost.request, lost.outcome) == (3, LOST)
    assert "three times" in died.sentence
    assert died.sentence == house.supervisor.fault
    assert not house.supervisor.isRunning

    house.supervisor.submit(RUN)
    (refused,) = house.work()
    assert (refused.request, refused.outcome, refused.sentence) == (1, FAILED, died.sentence)
    assert len(house.processes) == 3

    house.supervisor.restart()
    house.supervisor.submit(EDIT)
    house.work()
    assert house.process.heard == [EDIT]
    assert house.supervisor.fault == ""


def test_deaths_with_good_work_between_them_do_not_add_up(house: House) -> None:
    for _ in range(5):
        house.supervisor.submit(EDIT)
        house.work()
        house.process.says = [done(EDIT)]
        house.work()
        house.process.hasEnded = True
        house.work()
    assert house.supervisor.fault == ""
    assert len(house.processes) == 6


def test_an_interpreter_that_cannot_be_started_is_said() -> None:
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


def test_a_volume_goes_through_shared_memory_and_its_block_is_let_go(house: House) -> None:
    held = a_volume()
    opening = PendingOpen("v", held, request=4)
    house.supervisor.submit(opening)
    house.supervisor.submit(RUN)
    while not any(isinstance(message, c.Run) for message in house.process.heard):
        house.work()
    made, opened, _ = house.process.heard
    assert isinstance(made, c.BlockCreated)
    assert isinstance(opened, c.OpenVolume)
    assert (opened.request, opened.block.name, opened.block.shape) == (4, made.name, (3, 4, 5))
    from SAMMixSlicerLib.worker.shared_array import AttachedArray

    attached = AttachedArray(opened.block)
    assert attached.array.all()
    attached.close()
    house.process.says = [done(opened)]
    house.work()
    with pytest.raises(FileNotFoundError):
        AttachedArray(opened.block)


def test_blocks_are_let_go_when_the_process_dies_or_stops(house: House) -> None:
    from SAMMixSlicerLib.worker.shared_array import AttachedArray

    for end in ("dies", "stops"):
        house.supervisor.submit(PendingOpen("v", a_volume(), request=4))
        while not any(isinstance(message, c.OpenVolume) for message in house.process.heard):
            house.work()
        block = house.process.heard[-1].block
        if end == "dies":
            house.process.hasEnded = True
            house.work()
        else:
            house.supervisor.stop(0)
        with pytest.raises(FileNotFoundError):
            AttachedArray(block)
        if end == "dies":
            while not any(isinstance(message, c.OpenVolume) for message in house.process.heard):
                house.work()
            assert house.process.heard[-1].request == 4, "the volume was not opened again"
            house.supervisor.stop(0)
    assert house.supervisor.commands() == []


def test_too_little_memory_for_a_volume_fails_that_command_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from SAMMixSlicerLib.worker import outbox

    from sammix_core.errors import InputError

    def too_little(array: np.ndarray) -> None:
        raise InputError("There is too little shared memory.")

    monkeypatch.setattr(outbox, "Upload", too_little)
    house.supervisor.submit(PendingOpen("v", a_volume(), request=4))
    house.supervisor.submit(EDIT)
    (finished,) = house.work()
    assert (finished.request, finished.command, finished.outcome) == (4, "OpenVolume", FAILED)
    assert finished.sentence == "There is too little shared memory."
    house.work()
    assert house.process.heard == [EDIT]


def test_news_that_take_long_to_show_are_spread_over_several_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker("no interpreter is needed")
    inbox = [d.Description({}, (), ()) for _ in range(3)]
    monkeypatch.setattr(worker._supervisor, "next", lambda: inbox.pop() if inbox else None)
    worker.on(d.Description).connect(lambda _event: time.sleep(0.03))
    for left in (2, 1, 0):
        worker.poll()
        assert len(inbox) == left
