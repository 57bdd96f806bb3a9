"""Files that are either written whole or not at all, so that a crash or a cancel never leaves half of one behind."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sammix_core.errors import InputError, SammixError

_HASH_BLOCK_BYTES = 1 << 20
# 60 characters are at most 240 bytes of UTF-8: with the token, still under the 255 that file systems allow.
_NAME_TAIL = 60
_UNFINISHED = re.compile(r"\.[0-9a-f]{8}-.")  # how the names of `atomic_path` begin
_NO_FREE_BYTES = 1 << 16  # with less than this left beside an unfinished file, the disk is full
_NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def check_writable(path: str | Path) -> Path:
    """Says early, before minutes of work, that a file could not be written.

    Creates and removes a probe file: permission bits are misleading on network drives, read-only mounts and for root.

    Args:
        path: The file that is to be written later.

    Returns:
        The file's real path, with links followed.

    Raises:
        InputError: The folder is missing or cannot be written to, or the path is a folder, a device or a pipe.
    """
    target = Path(path).expanduser().resolve()
    folder = target.parent
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is not a file that can be overwritten; name a file.")
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist, so {target.name} cannot be written there.")
    probe = folder / f".sammix-{secrets.token_hex(4)}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written to: {_reason(error)}.") from error
    return target


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a new name beside `path` to write to, and moves it onto `path` when the block ends well.

    When the block raises, what was written is removed and an existing `path` stays as it was. The new name keeps all
    suffixes (".nii.gz", ".seg.nrrd"), because image writers choose their format by them. The file is not made
    beforehand, so that it gets the permissions that any new file of the user gets.

    Args:
        path: The file to write. Its folder must exist.

    Yields:
        The path to write to, in the same folder.

    Raises:
        InputError: `path` cannot be written (see `check_writable`), or the disk is full.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_path(folder / "report.json") as temporary:
        ...     _ = temporary.write_text("{}")
        >>> [file.name for file in folder.iterdir()]
        ['report.json']
    """
    target = check_writable(path)
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name[-_NAME_TAIL:]}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, target)
    except SammixError:
        raise
    except Exception as error:
        reason = _why_not_written(error, temporary)
        if reason is None:
            raise
        raise InputError(f"{path} could not be written: {reason}.") from error
    finally:
        # After os.replace the name is gone, so this only ever removes what a failed block left.
        with suppress(FileNotFoundError):
            temporary.unlink()


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed process left of `atomic_path` in a folder.

    Args:
        folder: In which nobody else is writing; may be absent.
    """
    if folder.is_dir():
        for path in folder.iterdir():
            if _UNFINISHED.match(path.name) and path.is_file():
                path.unlink(missing_ok=True)


def files_under(folder: Path, deep: bool = True) -> Iterator[Path]:
    """Finds the files in a folder, in the order of their names; hidden ones are passed over.

    Args:
        folder: Where to look.
        deep: Whether subfolders are searched too, linked ones among them; each folder once.

    Yields:
        Paths that begin with `folder`.

    Raises:
        OSError: The folder cannot be read.
    """
    visited: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            folders[:] = []
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if deep else []
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def write_text_atomic(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file, whole or not at all, and with the same line ends on every platform.

    Args:
        path: The file to write.
        text: What goes into it.

    Raises:
        InputError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def sha256_of(path: str | Path) -> str:
    """Hashes a file in blocks, so that a file of any size needs little memory.

    Args:
        path: The file to hash.

    Returns:
        The SHA-256 as 64 lower-case hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _raise(error: OSError) -> None:
    raise error


def _flush_to_disk(path: Path) -> None:
    """Without this a power cut after os.replace may leave an empty file under the final name."""
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())


def _why_not_written(error: Exception, temporary: Path) -> str | None:
    """Why a file could not be written, or None where the error is about something else.

    Libraries report a full disk in different ways: torch raises a RuntimeError, safetensors its own error, and numpy an
    OSError without a number.
    """
    if isinstance(error, OSError) and (error.errno in _NO_ROOM or error.filename == str(temporary)):
        return _reason(error)
    full = os.strerror(errno.ENOSPC)
    if full in str(error) or shutil.disk_usage(temporary.parent).free < _NO_FREE_BYTES:
        return full.lower()
    return None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
