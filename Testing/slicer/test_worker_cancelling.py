"""Cancelling, with a process that acknowledges at once, late or never: the user has an answer within a second."""

from __future__ import annotations

import pytest
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker.supervisor import CANCEL_SECONDS, ProcessDied
from supervised_process import CANCELLED, EDIT, LOST, MODEL, RUN, Clock, Harness, a_clock_in, done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return a_clock_in(monkeypatch)


@pytest.fixture
def harness(clock: Clock) -> Harness:
    return Harness()


def test_an_acknowledged_cancel_leaves_the_process_alive(harness: Harness, clock: Clock) -> None:
    harness.supervisor.submit(RUN)
    harness.work()
    harness.supervisor.cancel(1)
    harness.supervisor.cancel(1)
    assert harness.process.received == [RUN, c.Cancel(1)]
    harness.process.outgoing = [e.CancelAcknowledged(1)]
    clock.now += 0.9 * CANCEL_SECONDS
    assert harness.work() == [e.CancelAcknowledged(1)]
    clock.now += 4  # an encoder pass
    assert harness.work() == []
    harness.process.outgoing = [done(RUN, CANCELLED)]
    assert harness.work() == [done(RUN, CANCELLED)]
    clock.now += 100
    assert harness.work() == []
    assert len(harness.processes) == 1


def test_the_user_has_an_answer_within_a_second_if_the_process_acknowledges_late(
    harness: Harness, clock: Clock
) -> None:
    harness.supervisor.submit(RUN)
    harness.work()
    harness.supervisor.cancel(1)
    clock.now += 1.01 * CANCEL_SECONDS
    taken, finished = harness.work()
    assert taken == e.CancelAcknowledged(1)
    assert (finished.request, finished.outcome) == (1, CANCELLED)
    harness.process.outgoing = [e.CancelAcknowledged(1), done(RUN, CANCELLED)]
    assert harness.work() == [], "told twice"
    clock.now += 100
    harness.work()
    assert len(harness.processes) == 1


@pytest.mark.parametrize(("heard", "seconds"), [(False, 5), (True, 15)])
def test_a_process_that_does_not_stop_is_ended(harness: Harness, clock: Clock, heard: bool, seconds: float) -> None:
    harness.supervisor.submit(RUN)
    harness.supervisor.submit(EDIT)
    harness.work()
    harness.supervisor.cancel(1)
    harness.process.outgoing = [e.CancelAcknowledged(1)] if heard else []
    harness.work()
    clock.now += 0.99 * seconds
    harness.work()
    assert len(harness.processes) == 1
    clock.now += 0.02 * seconds
    harness.work()
    assert harness.processes[0].wasKilled
    assert len(harness.processes) == 2
    assert {event.request: event.outcome for event in harness.events if isinstance(event, e.Finished)} == {
        1: CANCELLED,
        2: LOST,
    }
    assert any(
        isinstance(event, ProcessDied) and "did not stop when asked" in event.sentence for event in harness.events
    )
    assert harness.supervisor.fault == ""


def test_events_that_are_still_coming_in_may_contain_the_answer(harness: Harness, clock: Clock) -> None:
    """A main thread that was busy for a minute finds the answer among what has come."""
    harness.supervisor.submit(RUN)
    harness.work()
    harness.supervisor.cancel(1)
    clock.now += 60
    progress = e.Progressed("v", 1, "Segmenting", 1, 5, None)
    harness.process.outgoing = [progress]
    assert harness.work() == [progress]
    harness.process.outgoing = [e.CancelAcknowledged(1), done(RUN, CANCELLED)]
    harness.work()
    harness.work()
    assert len(harness.processes) == 1


def test_a_command_that_was_not_sent_is_withdrawn(harness: Harness) -> None:
    harness.supervisor.submit(RUN)
    harness.supervisor.cancel(1)
    (finished,) = harness.work()
    assert (finished.request, finished.outcome) == (1, CANCELLED)
    assert harness.process.received == []


def test_a_command_that_waits_for_the_model_ends_at_once(harness: Harness, clock: Clock) -> None:
    """A process that imports torch is hard of hearing; that is no reason to end it."""
    harness.supervisor.submit(MODEL)
    harness.supervisor.submit(RUN)
    harness.work()
    harness.supervisor.cancel(1)
    (finished,) = harness.work()
    assert (finished.request, finished.outcome) == (1, CANCELLED)
    clock.now += 100
    harness.process.outgoing = [done(MODEL), e.CancelAcknowledged(1), done(RUN, CANCELLED)]
    assert harness.work() == [done(MODEL)]
    assert len(harness.processes) == 1


@pytest.mark.parametrize("command", [MODEL, c.SetStates("v", (), request=5), c.CloseVolume("v", request=6)])
def test_a_command_that_everything_else_needs_is_not_cancelled(harness: Harness, command: c.Command) -> None:
    harness.supervisor.submit(command)
    harness.work()
    harness.supervisor.cancel(command.request)
    harness.supervisor.cancel(12345)
    assert harness.process.received == [command]
