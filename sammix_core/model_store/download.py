"""Downloads one large file, resumably: a partial file stays, under another name, until the whole file is verified."""

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
        target: The file to write, in a folder that exists. Until it is complete and verified it is `target` + ".part".
        size: Its bytes.
        sha256: The SHA-256 that it must have.
        progress: Called after each megabyte.
        cancel: Polled after each megabyte; return True to stop.

    Returns:
        `target`.

    Raises:
        InputError: The server cannot be reached, the connection was cut (the next call resumes the
            download), the disk is full, or the file is another one (it is deleted).
        Cancelled: The user stopped; the next call resumes the download.
    """
    part = target.with_name(target.name + ".part")
    if target.is_file():  # whole already, but something after it failed
        os.replace(target, part)
    done = part.stat().st_size if part.is_file() else 0
    if done > size:  # cannot become the file
        part.unlink()
        done = 0
    if done < size:
        stage = ProgressReporter(f"Downloading {target.name} (MB)", _whole_megabytes(size), progress, cancel)
        try:
            _append(address, part, done, stage)
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
    """Copies a file that was downloaded by other means, if it is the expected one.

    The checked bytes are the copied ones.

    Args:
        source: The file.
        target: The file to write.
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


def _append(address: str, part: Path, offset: int, stage: ProgressReporter) -> None:
    """Downloads the rest and appends it; starts over where the server sends the whole file."""
    headers = {"User-Agent": f"sammix/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
        resumed = answer.status == _PARTIAL and _starts_at(answer, offset)
        done = offset if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            stage.step(_whole_megabytes(done))
            while block := answer.read(_BLOCK_BYTES):
                file.write(block)
                stage.step(_whole_megabytes(done + len(block)) - _whole_megabytes(done))
                done += len(block)


def _starts_at(answer: http.client.HTTPResponse, offset: int) -> bool:
    return (answer.headers.get("Content-Range") or "").startswith(f"bytes {offset}-")


def _whole_megabytes(size: int) -> int:
    return size // 1_000_000


def _cut(part: Path, size: int) -> str:
    have = part.stat().st_size if part.is_file() else 0
    return (
        f"The connection was cut after {megabytes(have)} of {megabytes(size)}; what arrived stays, and the same "
        "command goes on from there."
    )


def _why(error: Exception, address: str, part: Path, size: int) -> str:
    """A sentence about the failure, and what to do."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code == _TOO_FAR:
            part.unlink(missing_ok=True)
            return f"{address} is shorter than expected; run the command again to start over."
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
