"""Prepares the next batch while the network works on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(make: Callable[[int], T], start: int, stop: int) -> Iterator[tuple[int, T]]:
    """Yields (step, make(step)), each made in a thread during the step before.

    Reading and noise take as long as the network otherwise; numpy and torch let go of the interpreter for both.

    >>> list(ahead(lambda step: step * 10, 1, 3))
    [(1, 10), (2, 20)]
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, start) if start < stop else None
        for step in range(start, stop):
            assert coming is not None
            ready = coming.result()
            coming = pool.submit(make, step + 1) if step + 1 < stop else None
            yield step, ready
