"""Arrays in shared memory: the module copies a volume in, chunk by chunk, and the process takes it over.

Life of a block: the module creates and fills it, the process attaches to it and reports so, and the module removes its
name. From then on the memory belongs to the process alone and is freed with it, however it ends. Windows has no names
to remove: a block lives as long as any process has it open.
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
    """Copies an array into a new block of shared memory, within a time limit at each call.

    Args:
        array: Of any real type and strides. A reference is kept until the copy is complete.

    Attributes:
        block: What the process needs to attach.
        done: Whether the copy is complete.

    Raises:
        InputError: The system does not have enough shared memory.
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
        """Continues the copy for about `seconds`; returns whether it is complete.

        Raises:
            InputError: The system has run out of memory.
        """
        if self._source is None or self._target is None:
            return self.done
        deadline = time.perf_counter() + seconds
        row_bytes = self._source[0].nbytes
        rows = max(1, _CHUNK_BYTES // row_bytes)
        while self._next < len(self._source) and time.perf_counter() < deadline:
            part = slice(self._next, self._next + rows)
            self._reserve(self._next * row_bytes, len(self._source[part]) * row_bytes)
            self._target[part] = self._source[part]
            self._next += rows
        self.done = self._next >= len(self._source)
        if self.done:
            self._source = self._target = None
        return self.done

    def discard(self) -> None:
        """Removes the block's name and our view of it; a process that has attached keeps the memory."""
        self._source = self._target = None
        if self._file is not None:
            os.close(self._file)
            self._file = None
        with _untracked(), contextlib.suppress(FileNotFoundError):
            self._memory.unlink()
        self._memory.close()

    def _reserve(self, start: int, size: int) -> None:
        """Allocates memory that was only promised: writing without it would crash the whole application."""
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
        """Releases the memory; while views of it are alive, Python releases it with the last one."""
        del self.array
        with contextlib.suppress(BufferError):
            self._memory.close()


def remove_name(name: str) -> None:
    """Removes a block's name for a module that died before it could; a missing name is no error."""
    with contextlib.suppress(OSError):
        memory = _attach(name)
        with _untracked(), contextlib.suppress(FileNotFoundError):
            memory.unlink()
        memory.close()


def _create(size: int) -> shared_memory.SharedMemory:
    # The name identifies its owner and is short enough for macOS (31 characters).
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
    """Opens the block as a file, on systems that show blocks as files (Linux)."""
    path = Path("/dev/shm") / name.lstrip("/")
    return os.open(path, os.O_RDWR) if hasattr(os, "posix_fallocate") and path.exists() else None


def _too_little(error: OSError) -> InputError:
    return InputError(
        f"There is too little shared memory for this volume ({(error.strerror or str(error)).lower()}). Close other "
        "programs or crop the volume."
    )


# Before Python 3.13 every block is registered with a "resource tracker", which is started with `sys.executable`; in
# Slicer that is a launcher, and the tracker would remove blocks that another process still uses.
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
    """Replaces the functions of the resource tracker."""
