"""Looking after a process, with one that does what the test says: dying, deafness, giving up, and nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker import supervisor as supervisor_module
from SAMMixSlicerLib.worker.held_volume import HeldVolume
from SAMMixSlicerLib.worker.outbox import Opening
from SAMMixSlicerLib.worker.pending_cancel import CANCEL_SECONDS
from SAMMixSlicerLib.worker.supervisor import Died, Supervisor

from sammix_core.boxes import Box

DONE, CANCELLED, FAILED, LOST = e.Outcome


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

    def lastWords(self) -> str:
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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervisor_module, "time", clock)
    return clock


@pytest.fixture
def house(clock: Clock) -> House:
    return House()


RUN = c.Run(1, "v")
EDIT = c.SegmentSlice(2, "v", Box(0, 1, 1, 5, 5))
MODEL = c.LoadModel(3, "liver", "cpu")


def done(command: c.Command, outcome: e.Outcome = DONE) -> e.Finished:
    return e.Finished(command.request, type(command).__name__, "v", outcome)


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
    house.resume = [c.LoadModel(9, "liver", "cpu")]
    died, lost = house.work()
    assert isinstance(died, Died)
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
    assert isinstance(died, Died)
    assert (lost.request, lost.outcome) == (1, LOST)
    assert died.sentence == "The computing process could not be started (No such file or directory)."


# Cancelling


def test_a_cancel_that_is_heard_leaves_the_process_alive(house: House, clock: Clock) -> None:
    house.supervisor.submit(RUN)
    house.work()
    house.supervisor.cancel(1)
    house.supervisor.cancel(1)
    assert house.process.heard == [RUN, c.Cancel(1)]
    house.process.says = [e.CancelTaken(1)]
    clock.now += 0.9 * CANCEL_SECONDS
    assert house.work() == [e.CancelTaken(1)]
    clock.now += 4  # an encoder pass
    assert house.work() == []
    house.process.says = [done(RUN, CANCELLED)]
    assert house.work() == [done(RUN, CANCELLED)]
    clock.now += 100
    assert house.work() == []
    assert len(house.processes) == 1


def test_the_user_has_an_answer_within_a_second_from_a_process_that_is_slow_to_hear(house: House, clock: Clock) -> None:
    house.supervisor.submit(RUN)
    house.work()
    house.supervisor.cancel(1)
    clock.now += 1.01 * CANCEL_SECONDS
    taken, finished = house.work()
    assert taken == e.CancelTaken(1)
    assert (finished.request, finished.outcome) == (1, CANCELLED)
    house.process.says = [e.CancelTaken(1), done(RUN, CANCELLED)]
    assert house.work() == [], "told twice"
    clock.now += 100
    house.work()
    assert len(house.processes) == 1


@pytest.mark.parametrize(("heard", "seconds"), [(False, 5), (True, 15)])
def test_a_process_that_does_not_stop_is_ended(house: House, clock: Clock, heard: bool, seconds: float) -> None:
    house.supervisor.submit(RUN)
    house.supervisor.submit(EDIT)
    house.work()
    house.supervisor.cancel(1)
    house.process.says = [e.CancelTaken(1)] if heard else []
    house.work()
    clock.now += 0.99 * seconds
    house.work()
    assert len(house.processes) == 1
    clock.now += 0.02 * seconds
    house.work()
    assert house.processes[0].wasKilled
    assert len(house.processes) == 2
    assert {event.request: event.outcome for event in house.told if isinstance(event, e.Finished)} == {
        1: CANCELLED,
        2: LOST,
    }
    assert any(isinstance(event, Died) and "did not stop when asked" in event.sentence for event in house.told)
    assert house.supervisor.fault == ""


def test_news_that_is_still_coming_in_may_hold_the_answer(house: House, clock: Clock) -> None:
    """A main thread that was busy for a minute finds the answer among what has come."""
    house.supervisor.submit(RUN)
    house.work()
    house.supervisor.cancel(1)
    clock.now += 60
    progress = e.Progressed("v", 1, "Segmenting", 1, 5, None)
    house.process.says = [progress]
    assert house.work() == [progress]
    house.process.says = [e.CancelTaken(1), done(RUN, CANCELLED)]
    house.work()
    house.work()
    assert len(house.processes) == 1


def test_what_has_not_been_sent_is_taken_back(house: House) -> None:
    house.supervisor.submit(RUN)
    house.supervisor.cancel(1)
    (finished,) = house.work()
    assert (finished.request, finished.outcome) == (1, CANCELLED)
    assert house.process.heard == []


def test_a_command_that_waits_for_the_model_ends_at_once(house: House, clock: Clock) -> None:
    """A process that imports torch is hard of hearing; that is no reason to end it."""
    house.supervisor.submit(MODEL)
    house.supervisor.submit(RUN)
    house.work()
    house.supervisor.cancel(1)
    (finished,) = house.work()
    assert (finished.request, finished.outcome) == (1, CANCELLED)
    clock.now += 100
    house.process.says = [done(MODEL), e.CancelTaken(1), done(RUN, CANCELLED)]
    assert house.work() == [done(MODEL)]
    assert len(house.processes) == 1


@pytest.mark.parametrize("command", [MODEL, c.SetStates(5, "v", ()), c.CloseVolume(6, "v")])
def test_what_everything_else_needs_is_not_cancelled(house: House, command: c.Command) -> None:
    house.supervisor.submit(command)
    house.work()
    house.supervisor.cancel(command.request)
    house.supervisor.cancel(12345)
    assert house.process.heard == [command]


# Volumes


def a_held_volume() -> HeldVolume:
    return HeldVolume("v", np.ones((3, 4, 5), np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]), True)


def test_a_volume_goes_through_shared_memory_and_its_block_is_let_go(house: House) -> None:
    held = a_held_volume()
    opening = Opening(4, "v", held)
    house.supervisor.submit(opening)
    house.supervisor.submit(RUN)
    while not any(isinstance(message, c.Run) for message in house.process.heard):
        house.work()
    made, opened, _ = house.process.heard
    assert isinstance(made, c.BlockMade)
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
        house.supervisor.submit(Opening(4, "v", a_held_volume()))
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
    house.supervisor.submit(Opening(4, "v", a_held_volume()))
    house.supervisor.submit(EDIT)
    (finished,) = house.work()
    assert (finished.request, finished.command, finished.outcome) == (4, "OpenVolume", FAILED)
    assert finished.sentence == "There is too little shared memory."
    house.work()
    assert house.process.heard == [EDIT]
