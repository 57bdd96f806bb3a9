"""Arrays in shared memory: the module copies a volume in, bit by bit, and the process takes it over.

The life of a block: the module makes it and fills it, the process attaches to it and says so, and the module then
removes its name. From there on the memory belongs to the process alone and goes with it, however it ends. Windows has
no names to remove: a block lives as long as somebody has it open.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.errors import InputError
from SAMMixSlicerLib.worker.commands import Block

_CHUNK_BYTES = 4 * 1024**2


class Upload:
    """Copies an array into a new block of shared memory, a little at each call, so that nobody waits.

    Args:
        array: Any real type and strides. It is kept until the copy is done.

    Attributes:
        block: What the process needs to attach.
        done: Whether all of it is copied.

    Raises:
        InputError: The system has not that much shared memory.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.done = False
        self._memory = _create(array.nbytes)
        self._file = _file_of(self._memory.name)
        native = array.dtype.newbyteorder("=")
        self.block = Block(self._memory.name, array.shape, native.str)
        self._source: np.ndarray | None = array
        self._target: np.ndarray | None = np.ndarray(array.shape, native, buffer=self._memory.buf)
        self._next = 0

    def step(self, seconds: float) -> bool:
        """Copies on for about so long; whether it is done now.

        Raises:
            InputError: There is no memory left.
        """
        if self._source is None or self._target is None:
            return self.done
        until = time.perf_counter() + seconds
        row_bytes = self._source[0].nbytes
        rows = max(1, _CHUNK_BYTES // row_bytes)
        while self._next < len(self._source) and time.perf_counter() < until:
            part = slice(self._next, self._next + rows)
            self._reserve(self._next * row_bytes, len(self._source[part]) * row_bytes)
            self._target[part] = self._source[part]
            self._next += rows
        self.done = self._next >= len(self._source)
        if self.done:
            self._source = self._target = None
        return self.done

    def discard(self) -> None:
        """Removes the block's name and our view of it; the process keeps what it has attached to."""
        self._source = self._target = None
        if self._file is not None:
            os.close(self._file)
            self._file = None
        with _untracked(), contextlib.suppress(FileNotFoundError):
            self._memory.unlink()
        self._memory.close()

    def _reserve(self, start: int, size: int) -> None:
        """Takes memory that was only promised: writing where there is none would end the whole application."""
        if self._file is not None:
            try:
                os.posix_fallocate(self._file, start, size)
            except OSError as error:
                raise _too_little(error) from error


class AttachedArray:
    """The process's end of a block.

    Attributes:
        array: The array, read-only; it must not be used after `close`.
    """

    def __init__(self, block: Block) -> None:
        self._memory = _attach(block.name)
        self.array: np.ndarray = np.ndarray(block.shape, np.dtype(block.dtype), buffer=self._memory.buf)
        self.array.flags.writeable = False

    def close(self) -> None:
        """Gives the memory back; where a view of it is still alive, Python does so with the last one."""
        del self.array
        with contextlib.suppress(BufferError):
            self._memory.close()


def remove_name(name: str) -> None:
    """Removes a block's name for a module that died before it could; no error where it is gone."""
    with contextlib.suppress(OSError):
        memory = _attach(name)
        with _untracked(), contextlib.suppress(FileNotFoundError):
            memory.unlink()
        memory.close()


def _create(size: int) -> shared_memory.SharedMemory:
    # A name that says whose it is, short enough for macOS (31 characters).
    name = f"sammix_{os.getpid()}_{secrets.token_hex(4)}"
    try:
        with _untracked():
            return shared_memory.SharedMemory(name, create=True, size=size, **_TRACK)
    except OSError as error:
        raise _too_little(error) from error


def _attach(name: str) -> shared_memory.SharedMemory:
    with _untracked():
        return shared_memory.SharedMemory(name, **_TRACK)


def _file_of(name: str) -> int | None:
    """The block as an open file, where the system shows blocks as files (Linux)."""
    path = Path("/dev/shm") / name.lstrip("/")
    return os.open(path, os.O_RDWR) if hasattr(os, "posix_fallocate") and path.exists() else None


def _too_little(error: OSError) -> InputError:
    return InputError(
        f"There is too little shared memory for this volume ({(error.strerror or str(error)).lower()}); close other "
        "programs, or crop the volume."
    )


# Before Python 3.13 every block is told to a "resource tracker", which is started with `sys.executable`; in Slicer that
# is a launcher, and the tracker would remove blocks that another process still uses.
_TRACK: dict[str, Any] = {"track": False} if sys.version_info >= (3, 13) else {}


@contextlib.contextmanager
def _untracked() -> Iterator[None]:
    if _TRACK or os.name == "nt":
        yield
        return
    tracker: Any = shared_memory.resource_tracker  # type: ignore[attr-defined]  # not in the stubs
    register, unregister = tracker.register, tracker.unregister
    tracker.register = tracker.unregister = _nothing
    try:
        yield
    finally:
        tracker.register, tracker.unregister = register, unregister


def _nothing(*_: object) -> None:
    """Takes what the resource tracker would be told."""
