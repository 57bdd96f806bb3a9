"""Slices worked on by several threads: order, errors, leaving early, and work that is done once for all who ask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sammix_core.engines.threads import SharedWork, in_threads, in_worker_thread


def test_results_come_in_the_order_of_the_items() -> None:
    last = threading.Event()

    def late(item: int) -> int:
        if item == 0:
            assert last.wait(10), "the second item is worked on at the same time"
        else:
            last.set()
        return item

    assert list(in_threads(late, [0, 1, 2], threads=2)) == [0, 1, 2]


def test_with_one_thread_nothing_leaves_it() -> None:
    here = threading.current_thread()
    assert list(in_threads(lambda _: (threading.current_thread(), in_worker_thread()), [0], threads=1)) == [
        (here, False)
    ]
    assert list(in_threads(lambda _: in_worker_thread(), [0], threads=2)) == [True]
    assert not in_worker_thread()


def test_an_error_reaches_the_caller_and_ends_the_work() -> None:
    seen: list[int] = []

    def failing(item: int) -> int:
        seen.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        list(in_threads(failing, range(1000), threads=2))
    assert len(seen) < 20


def test_leaving_early_drops_what_has_not_begun() -> None:
    seen: list[int] = []
    results = in_threads(lambda item: seen.append(item), range(1000), threads=2)
    next(results)
    results.close()
    worked_on = len(seen)
    assert worked_on < 20
    assert not [one for one in threading.enumerate() if one.name.startswith("sammix-slice")]
    assert len(seen) == worked_on


# Shared work


def test_who_asks_for_the_same_at_the_same_time_gets_what_one_made() -> None:
    shared: SharedWork[list[int]] = SharedWork()
    begun, go_on = threading.Event(), threading.Event()

    def make() -> list[int]:
        begun.set()
        assert go_on.wait(10)
        return [1]

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: shared.begin("key", make).result())
        assert begun.wait(10)
        second = shared.begin("key", lambda: pytest.fail("another thread does it"))
        assert not second.done(), "the work is waited for by whoever needs it, not here"
        go_on.set()
        assert second.result() is first.result()


def test_results_are_kept_as_many_as_are_asked_for() -> None:
    made: list[int] = []

    def of(number: int, shared: SharedWork[int]) -> int:
        return shared.begin(number, lambda: made.append(number) or number).result()

    none, two = SharedWork[int](), SharedWork[int](keep=2)
    assert [of(1, none), of(1, none)] == made == [1, 1]
    made.clear()
    assert [of(number, two) for number in (1, 2, 2, 1, 3, 2, 1)] == [1, 2, 2, 1, 3, 2, 1]
    assert made == [1, 2, 3, 1], "1 had gone when 3 came"
    two.clear()
    of(2, two)
    assert made[-1] == 2


def test_work_that_failed_is_tried_again() -> None:
    shared = SharedWork[int](keep=2)

    def fails() -> int:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        shared.begin("key", fails).result()
    assert shared.begin("key", lambda: 3).result() == 3
