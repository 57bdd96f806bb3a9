"""Cancelling, with a process that hears, is slow to hear, or is deaf: the user has an answer within a second."""

from __future__ import annotations

import pytest
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker.supervisor import CANCEL_SECONDS, ProcessDied
from supervised_process import CANCELLED, EDIT, LOST, MODEL, RUN, Clock, House, a_clock_in, done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return a_clock_in(monkeypatch)


@pytest.fixture
def house(clock: Clock) -> House:
    return House()


def test_a_cancel_that_is_heard_leaves_the_process_alive(house: House, clock: Clock) -> None:
    house.supervisor.submit(RUN)
    house.work()
    house.supervisor.cancel(1)
    house.supervisor.cancel(1)
    assert house.process.heard == [RUN, c.Cancel(1)]
    house.process.says = [e.CancelAcknowledged(1)]
    clock.now += 0.9 * CANCEL_SECONDS
    assert house.work() == [e.CancelAcknowledged(1)]
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
    assert taken == e.CancelAcknowledged(1)
    assert (finished.request, finished.outcome) == (1, CANCELLED)
    house.process.says = [e.CancelAcknowledged(1), done(RUN, CANCELLED)]
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
    house.process.says = [e.CancelAcknowledged(1)] if heard else []
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
    assert any(isinstance(event, ProcessDied) and "did not stop when asked" in event.sentence for event in house.told)
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
    house.process.says = [e.CancelAcknowledged(1), done(RUN, CANCELLED)]
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
    house.process.says = [done(MODEL), e.CancelAcknowledged(1), done(RUN, CANCELLED)]
    assert house.work() == [done(MODEL)]
    assert len(house.processes) == 1


@pytest.mark.parametrize("command", [MODEL, c.SetStates("v", (), request=5), c.CloseVolume("v", request=6)])
def test_what_everything_else_needs_is_not_cancelled(house: House, command: c.Command) -> None:
    house.supervisor.submit(command)
    house.work()
    house.supervisor.cancel(command.request)
    house.supervisor.cancel(12345)
    assert house.process.heard == [command]
