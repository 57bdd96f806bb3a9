"""Downloads one large file with resume: what arrived stays, under a name of its own, until the whole file is right."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.files import sha256_of
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.version import __version__

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30
_PARTIAL, _TOO_FAR = 206, 416


def download(
    address: str,
    target: Path,
    size: int,
    sha256: str,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Path:
    """Downloads a file, or the rest of it.

    Args:
        address: Where it lies (https; http in tests).
        target: The file to make, in a folder that exists. Until it is whole and right it is called `target` + ".part".
        size: Its bytes.
        sha256: The SHA-256 that it must have.
        progress: Told in megabytes.
        cancel: Asked after each megabyte.

    Returns:
        `target`.

    Raises:
        InputError: The server cannot be reached, the connection was cut (what arrived stays, and the next call goes on
            from there), the disk is full, or the file is another one (nothing stays).
        Cancelled: The user stopped; what arrived stays.
    """
    part = target.with_name(target.name + ".part")
    if target.is_file():  # whole already, but something after it failed
        os.replace(target, part)
    there = part.stat().st_size if part.is_file() else 0
    if there > size:  # cannot become the file
        part.unlink()
        there = 0
    if there < size:
        stage = ProgressReporter(f"Downloading {target.name} (MB)", _whole_megabytes(size), progress, cancel)
        try:
            _append(address, part, there, stage)
        except (OSError, http.client.HTTPException) as error:
            raise InputError(_why(error, address, part, size)) from error
    if part.stat().st_size < size:
        raise InputError(_cut(part, size))
    if part.stat().st_size > size or sha256_of(part) != sha256:
        part.unlink()
        raise InputError(
            f"What {address} gave is not the file that this version of SAMMix knows: its size or SHA-256 is another "
            "one. It was deleted."
        )
    os.replace(part, target)
    return target


def copy_checked(source: Path, target: Path, size: int, sha256: str) -> Path:
    """Copies a file that someone has fetched otherwise, if it is the expected one.

    The bytes that are checked are those that are copied.

    Args:
        source: The file.
        target: The file to make.
        size: Its bytes.
        sha256: The SHA-256 that it must have.

    Returns:
        `target`.

    Raises:
        InputError: The file cannot be read, or is another one; nothing is left.
    """
    part = target.with_name(target.name + ".copy")
    digest = hashlib.sha256()
    try:
        with source.open("rb") as read, part.open("wb") as written:
            while block := read.read(_BLOCK_BYTES):
                digest.update(block)
                written.write(block)
        if part.stat().st_size != size or digest.hexdigest() != sha256:
            raise InputError(f"{source} is not the file that this version knows: its size or SHA-256 is another one.")
        os.replace(part, target)
    except OSError as error:
        raise InputError(f"{source} could not be copied: {(error.strerror or str(error)).lower()}.") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def megabytes(size: int) -> str:
    """A size for people: "375 MB"."""
    return f"{size / 1e6:,.0f} MB"


def _append(address: str, part: Path, there: int, stage: ProgressReporter) -> None:
    """Fetches what is missing and appends it; starts anew where the server sends the whole file all the same."""
    headers = {"User-Agent": f"sammix/{__version__}", "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
        resumed = answer.status == _PARTIAL and _starts_at(answer, there)
        done = there if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            stage.step(_whole_megabytes(done))
            while block := answer.read(_BLOCK_BYTES):
                file.write(block)
                stage.step(_whole_megabytes(done + len(block)) - _whole_megabytes(done))
                done += len(block)


def _starts_at(answer: http.client.HTTPResponse, there: int) -> bool:
    return (answer.headers.get("Content-Range") or "").startswith(f"bytes {there}-")


def _whole_megabytes(size: int) -> int:
    return size // 1_000_000


def _cut(part: Path, size: int) -> str:
    have = part.stat().st_size if part.is_file() else 0
    return (
        f"The connection was cut after {megabytes(have)} of {megabytes(size)}; what arrived stays, and the same "
        "command goes on from there."
    )


def _why(error: Exception, address: str, part: Path, size: int) -> str:
    """One sentence about what went wrong, and what to do."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code == _TOO_FAR:
            part.unlink(missing_ok=True)
            return f"{address} is shorter than expected; run the command again to start anew."
        return f"{address} was refused by its server ({error.code} {error.reason}); try again later."
    reason = getattr(error, "reason", error)
    if isinstance(error, urllib.error.URLError) and not isinstance(reason, TimeoutError):
        return (
            f"{address} cannot be reached; is this machine offline? Fetch the file on another one and name it with "
            "--from-file."
        )
    if isinstance(error, OSError) and (error.filename is not None or error.errno == errno.ENOSPC):
        return f"{part} cannot be written: {(error.strerror or str(error)).lower()}; what arrived stays."
    return _cut(part, size)
