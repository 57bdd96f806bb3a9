"""Fetching series: image by image, each file whole or absent, so that the same call goes on after a cut."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.files import atomic_path
from sammix_core.pacs.address import DicomwebAddress
from sammix_core.pacs.service import DicomwebService, NotFound, ServerUnavailable
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.volume_io.uid_hash import uid_hash

_log = logging.getLogger(__name__)
_SUFFIX = ".dcm"


@dataclass(frozen=True)
class FetchedSeries:
    """A series on disk.

    Attributes:
        folder: Its folder, named by the hash of its UID.
        images: How many images it has.
        kept: How many of them were there before.
    """

    folder: Path
    images: int
    kept: int


def fetch_series(
    service: DicomwebService,
    address: DicomwebAddress,
    parent: Path,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> FetchedSeries:
    """Fetches a series into a folder of its own; images that are there already are kept.

    Args:
        service: Where the series lies.
        address: The series.
        parent: The folder to make the series' folder in; made if absent.
        progress: Called after each image.
        cancel: Polled after each image; return True to stop.

    Returns:
        The series on disk. Its files carry the patient's name within, as DICOM does; their names do not.

    Raises:
        InputError: There is no such series, it changed while it was read, the folder holds other files, the disk is
            full, or the connection was cut. Images that arrived stay, and the next call fetches the others.
        Cancelled: The user stopped; likewise.
    """
    study, series = address.study, address.series
    if study is None or series is None:
        raise InputError(f"{address} names no series; add /studies/UID/series/UID.")
    instances = service.instances(study, series)
    if not instances:
        raise InputError(f"{service.address.service} has no such series; check the address.")
    name = uid_hash(series)
    folder = _series_folder(parent, name)
    files = {uid: folder / f"{uid_hash(uid)}{_SUFFIX}" for uid in instances}
    _refuse_others(folder, set(files.values()))
    missing = [uid for uid, file in files.items() if not file.is_file()]
    kept = len(instances) - len(missing)
    _log.info("series %s: %d to fetch, %d on disk", name, len(missing), kept)
    stage = ProgressReporter("Fetching", len(instances), progress, cancel)
    stage.step(kept)
    for uid in missing:
        try:
            dataset = service.retrieve(study, series, uid)
        except NotFound:
            raise InputError(_changed(name, "an image is no longer there")) from None
        except ServerUnavailable as error:
            raise InputError(
                f"{error} {stage.done} of {stage.total} images of series {name} are in {folder}; the same command goes "
                "on from there."
            ) from None
        with atomic_path(files[uid]) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
        stage.step()
    after = set(service.instances(study, series))
    if after != set(instances):
        added, removed = len(after - set(instances)), len(set(instances) - after)
        raise InputError(_changed(name, f"{_images(added)} added and {removed} removed"))
    return FetchedSeries(folder, len(instances), kept)


def _series_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}.") from error
    return folder


def _refuse_others(folder: Path, expected: set[Path]) -> None:
    """Images that the PACS no longer has would be read as part of the series."""
    others = [path for path in folder.iterdir() if not path.name.startswith(".") and path not in expected]
    if others:
        raise InputError(
            f"{folder} holds files that are not in the series on the server, such as {others[0].name}; delete it, or "
            "fetch into another folder."
        )


def _changed(name: str, how: str) -> str:
    return (
        f"Series {name} changed on the server while it was read: {how}. Wait until it is complete there, and run the "
        "same command again."
    )


def _images(count: int) -> str:
    return "1 image was" if count == 1 else f"{count} images were"
