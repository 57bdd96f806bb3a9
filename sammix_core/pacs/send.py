"""Sending DICOM files to a PACS, and checking there that they arrived."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.errors import InputError
from sammix_core.pacs.service import DicomwebService
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.volume_io.dicom import is_dicom
from sammix_core.volume_io.quiet import quiet_libraries

if TYPE_CHECKING:
    from pydicom import Dataset

_log = logging.getLogger(__name__)
# SEG and SR of a study fit into one request; a whole CT does not fit into the memory of every server.
_REQUEST_BYTES = 128_000_000
# Failure Reasons of the Store Instances answer (DICOM PS3.18) that a person can act on.
_REASONS = {
    0xA700: "the server has no space left",
    0x0110: "the server failed to process it",
    0x0122: "the server takes no files of this kind",
    0x0124: "the login may not store files",
    0xC122: "the server does not take its transfer syntax",
    0xA900: "it does not fit the study that the server has",
    0xC000: "the server could not understand it",
}


@dataclass(frozen=True)
class FileToSend:
    """A DICOM file and where it belongs.

    Attributes:
        path: The file.
        study: Study Instance UID.
        series: Series Instance UID.
        instance: SOP Instance UID.
    """

    path: Path
    study: str
    series: str
    instance: str


@dataclass(frozen=True)
class Sent:
    """What a PACS has after sending.

    Attributes:
        sent: How many files were sent and are there now.
        there: How many were there before and were not sent again.
    """

    sent: int
    there: int


def files_to_send(paths: Iterable[Path]) -> list[FileToSend]:
    """Reads where files belong, before anything is sent.

    Args:
        paths: DICOM files, and folders, in which all DICOM files are meant.

    Returns:
        The files, each image once.

    Raises:
        InputError: A path does not exist, holds no DICOM, or two files are one image with different content.
    """
    import pydicom

    tags = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    found: dict[str, FileToSend] = {}
    for path in _dicom_files(paths):
        try:
            with quiet_libraries():
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
            study, series, instance = (str(header[tag].value) for tag in tags)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
        except Exception as error:  # pydicom raises many kinds
            raise InputError(f"{path} is no whole DICOM file; nothing was sent.") from error
        if instance in found and found[instance].path.read_bytes() != path.read_bytes():
            raise InputError(f"{found[instance].path} and {path} have one UID and different content; nothing was sent.")
        found.setdefault(instance, FileToSend(path, study, series, instance))
    return list(found.values())


def send_files(
    service: DicomwebService,
    files: Iterable[FileToSend],
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Sent:
    """Sends files that the PACS does not have, and searches there for each of them afterwards.

    Files of one study go in one request where they are small, as a segmentation and its report are. DICOMweb has no way
    to take a file back, so a failure says which files are there.

    Args:
        service: Where to send; a study in its address must be that of the files.
        files: As `files_to_send` returns them.
        progress: Called after each request.
        cancel: Polled before each request; return True to stop.

    Returns:
        How many were sent.

    Raises:
        InputError: A file belongs to another study, or did not arrive; the sentence says which arrived.
        Cancelled: The user stopped.
    """
    files = list(files)
    wanted = service.address.study
    strangers = [file for file in files if wanted not in (None, file.study)]
    if strangers:
        raise InputError(f"{strangers[0].path} belongs to another study than the address; nothing was sent.")
    there = _there(service, files)
    missing = [file for file in files if file.instance not in there]
    _log.info("%d files to send, %d are there already", len(missing), len(files) - len(missing))
    if not missing:
        return Sent(0, len(files))
    stage = ProgressReporter("Sending", len(missing), progress, cancel)
    for request in _requests(missing):
        _send(service, request, missing)
        stage.step(len(request))
    return Sent(len(missing), len(files) - len(missing))


def _send(service: DicomwebService, request: list[FileToSend], all_files: list[FileToSend]) -> None:
    try:
        with quiet_libraries():
            datasets = [_read(file.path) for file in request]
        answer = service.store(datasets, request[0].study)
        reason = _failure(answer)
    except InputError as error:
        reason = str(error)
    arrived = None
    try:
        arrived = _there(service, all_files)
    except InputError as error:
        if not reason:
            raise InputError(f"The files were sent, but whether they arrived is unknown: {error}") from None
    if arrived is not None and all(file.instance in arrived for file in request):
        return
    reason = reason.rstrip(".") or f"{service.address.host} took the files and does not list them"
    if arrived is None:
        outcome = "what arrived could not be checked"
    elif any(file.instance in arrived for file in all_files):
        names = ", ".join(file.path.name for file in all_files if file.instance in arrived)
        outcome = f"of {len(all_files)} files these arrived: {names}"
    else:
        outcome = "nothing arrived"
    raise InputError(f"{reason}; {outcome}. The same command sends what is missing.")


def _read(path: Path) -> Dataset:
    import pydicom

    try:
        return pydicom.dcmread(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error


def _there(service: DicomwebService, files: Iterable[FileToSend]) -> set[str]:
    """SOP Instance UIDs that the PACS has of the series of the files."""
    series = dict.fromkeys((file.study, file.series) for file in files)
    return {uid for study, uid_of_series in series for uid in service.instances(study, uid_of_series)}


def _requests(files: list[FileToSend]) -> Iterator[list[FileToSend]]:
    """Files that go in one request: of one study, and up to `_REQUEST_BYTES` together."""
    by_study: dict[str, list[FileToSend]] = {}
    for file in files:
        by_study.setdefault(file.study, []).append(file)
    for of_study in by_study.values():
        request: list[FileToSend] = []
        size = 0
        for file in of_study:
            file_size = file.path.stat().st_size
            if request and size + file_size > _REQUEST_BYTES:
                yield request
                request, size = [], 0
            request.append(file)
            size += file_size
        yield request


def _failure(answer: Dataset) -> str:
    """Why the PACS did not store a file; "" where it says nothing of the kind."""
    failed = answer.get("FailedSOPSequence") or []
    if not failed:
        return ""
    code = int(failed[0].get("FailureReason") or 0)
    return f"{len(failed)} of the files were not stored: {_REASONS.get(code, f'failure {code:04X}')}"


def _dicom_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
            dicom = [file for file in inside if file.name.upper() != "DICOMDIR" and is_dicom(file)]
            if not dicom:
                raise InputError(f"The folder {path} holds no DICOM file; nothing was sent.")
            yield from dicom
        elif not path.is_file():
            raise InputError(f"{path} does not exist; nothing was sent.")
        elif not is_dicom(path):
            raise InputError(f"{path} is no DICOM file; nothing was sent.")
        else:
            yield path
