"""Works on several slices at once, a thread each, and returns results in their order.

A network that runs on all cores for one slice loses a third of them to waiting, and numpy's work between two slices
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


def in_worker_thread() -> bool:
    """Whether this is a thread of `in_threads`, which should keep to one core."""
    return getattr(_here, "in_worker_thread", False)


def in_threads(function: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Generator[Made]:
    """Yields function(item) of each item in order; works a few items ahead.

    Closing it early (a person cancels; `contextlib.closing`) waits for the items in progress and drops the rest.

    Args:
        function: Safe to call from several threads at once.
        items: Its arguments.
        threads: How many; with 1 the calling thread does everything, one by one.

    Example:
        >>> list(in_threads(lambda number: number * number, range(5), threads=2))
        [0, 1, 4, 9, 16]
    """
    if threads <= 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(threads, "sammix-slice", initializer=_mark)
    pending: deque[Future[Made]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _mark() -> None:
    _here.in_worker_thread = True


class SharedWork(Generic[Made]):
    """Work that several threads may request at the same time: the first one does it, the others wait for its result.

    Args:
        keep: How many of the newest results are kept; 0 keeps none beyond the requests in progress.
    """

    def __init__(self, keep: int = 0) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._futures: dict[Hashable, Future[Made]] = {}

    def begin(self, key: Hashable, make: Callable[[], Made]) -> Future[Made]:
        """Returns the work under a key; does it now, on this thread, unless another thread has begun it.

        Args:
            key: Identifies the work.
            make: Does it.
        """
        with self._lock:
            future = self._futures.get(key)
            if future is not None:
                return future
            future = self._futures[key] = Future[Made]()
            while self._keep and len(self._futures) > self._keep:
                del self._futures[next(iter(self._futures))]
        try:
            future.set_result(make())
        except BaseException as error:  # reaches every thread that waits for the result
            future.set_exception(error)
            self._forget(key, future)
        if not self._keep:
            self._forget(key, future)
        return future

    def clear(self) -> None:
        """Forgets all results."""
        with self._lock:
            self._futures.clear()

    def _forget(self, key: Hashable, future: Future[Made]) -> None:
        with self._lock:
            if self._futures.get(key) is future:
                del self._futures[key]
