"""Several slices worked on at once, a thread each, with results in their order.

A network that runs on all cores for one slice loses a third of them to waiting, and what numpy does between two slices
runs on one core alone. Slices that do not depend on each other are better given a core each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_here = threading.local()


def one_of_several() -> bool:
    """Whether this thread works beside others of its kind, so that it should keep to one core."""
    return getattr(_here, "one_of_several", False)


def in_threads(function: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Generator[Made]:
    """Yields function(item) of each item in order; a few are worked on ahead.

    Closing it early (a person cancels; `contextlib.closing`) waits for what has begun and drops the rest.

    Args:
        function: Safe to call from several threads at once.
        items: What it is called with.
        threads: How many; with 1 everything happens here, one by one.

    Example:
        >>> list(in_threads(lambda number: number * number, range(5), threads=2))
        [0, 1, 4, 9, 16]
    """
    if threads <= 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(threads, "sammix-slice", initializer=_mark)
    coming: deque[Future[Made]] = deque()
    try:
        for item in items:
            coming.append(pool.submit(function, item))
            if len(coming) > 2 * threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _mark() -> None:
    _here.one_of_several = True


class SharedWork(Generic[Made]):
    """Work that several threads may want at the same time: the first one does it, the others get what it made.

    Args:
        kept: How many of the newest results are kept; 0 for those alone that are being worked on.
    """

    def __init__(self, kept: int = 0) -> None:
        self._most = kept
        self._lock = threading.Lock()
        self._begun: dict[Hashable, Future[Made]] = {}

    def begin(self, key: Hashable, make: Callable[[], Made]) -> Future[Made]:
        """What a key's work gives; done here and now unless another thread has begun it.

        Args:
            key: Says which work it is.
            make: Does it.
        """
        with self._lock:
            begun = self._begun.get(key)
            if begun is not None:
                return begun
            mine = self._begun[key] = Future[Made]()
            while self._most and len(self._begun) > self._most:
                del self._begun[next(iter(self._begun))]
        try:
            mine.set_result(make())
        except BaseException as error:  # whoever waits for it gets it too
            mine.set_exception(error)
            self._forget(key, mine)
        if not self._most:
            self._forget(key, mine)
        return mine

    def clear(self) -> None:
        """Forgets all results."""
        with self._lock:
            self._begun.clear()

    def _forget(self, key: Hashable, mine: Future[Made]) -> None:
        with self._lock:
            if self._begun.get(key) is mine:
                del self._begun[key]
