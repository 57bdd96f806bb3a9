"""A lock that the system lets go of when its process ends, however it ends; so a dead run is known for dead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO


class ProcessLock:
    """A lock on a file, held by one process at a time.

    Args:
        path: The file; it is made, and stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[bytes] | None = None

    def take(self) -> bool:
        """Takes the lock; False where another process has it."""
        if self._stream is not None:
            return True
        stream = self._path.open("ab")
        if not _lock(stream):
            stream.close()
            return False
        self._stream = stream
        return True

    def release(self) -> None:
        """Lets go of it; no error where it is not held."""
        if self._stream is not None:
            self._stream.close()  # which unlocks
            self._stream = None

    def is_taken(self) -> bool:
        """Whether some process holds it."""
        if self._stream is not None:
            return True
        if not self._path.is_file():
            return False
        taken = not self.take()
        self.release()
        return taken


if sys.platform == "win32":
    import msvcrt

    def _lock(stream: IO[bytes]) -> bool:
        try:
            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(stream: IO[bytes]) -> bool:
        try:
            # Not lockf: its locks go when the process closes any other handle of the file.
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
