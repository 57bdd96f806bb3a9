"""A lock that the system releases when its process ends, however it ends; so a run whose process died is recognised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock


class ProcessLock:
    """A lock on a file, held by one process at a time.

    `filelock` is imported when the lock is used: the panel lists runs before anything is installed.

    Args:
        path: The file; it is made when the lock is taken.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "lock"
        >>> lock, other = ProcessLock(path), ProcessLock(path)
        >>> lock.take(), other.take(), other.is_taken()
        (True, False, True)
        >>> lock.release()
        >>> other.is_taken()
        False
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: FileLock | None = None

    def take(self) -> bool:
        """Takes the lock; returns False where another process holds it."""
        from filelock import FileLock, Timeout

        if self._lock is None:
            # Not a lock a thread: the thread that takes it need not be the one that releases it.
            self._lock = FileLock(self._path, thread_local=False)
        if self._lock.is_locked:
            return True
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Releases it; no error where it is not held."""
        if self._lock is not None:
            self._lock.release(force=True)

    def is_taken(self) -> bool:
        """Whether some process holds it."""
        if self._lock is not None and self._lock.is_locked:
            return True
        if not self._path.is_file():
            return False
        try:
            taken = not self.take()
        except ImportError:
            return False  # torch needs filelock, so no run of this Python can be at work
        self.release()
        return taken
