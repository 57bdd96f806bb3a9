"""A DICOMweb address where a command takes a CT: the series is fetched, and deleted when the command ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sammix_core.progress import CancelCheck, ProgressCallback

CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        envvar="SAMMIX_PACS_CA_FILE",
        help="Certificates (PEM) to trust for DICOMweb: those of your hospital's own authority.",
    ),
]


def is_address(path: Path) -> bool:
    """Whether a DICOMweb address was typed where a path could stand.

    Raises:
        InputError: It is meant as an address and is none that can be used.
    """
    from sammix_core.pacs.address import address_of

    return address_of(path) is not None


@contextmanager
def local_ct(
    path: Path,
    series: str | None,
    values_are_hu: bool,
    ca_file: Path | None,
    progress: ProgressCallback,
    cancel: CancelCheck,
) -> Iterator[Path]:
    """Yields where the CT lies on disk: the path itself, or the folder that its series was fetched into.

    Args:
        path: What was typed.
        series: Which series of a study is meant, as `--series` says it.
        values_are_hu: See `sammix_core.pacs.find.choose_ct`.
        ca_file: See `sammix_core.pacs.service.DicomwebService`.
        progress: Called after each image.
        cancel: Polled after each image.

    Yields:
        The path, or a folder that only this user can read, named by the hash of the series' UID.

    Raises:
        InputError: The series cannot be fetched; see `sammix_core.pacs.fetch.fetch_series`.
        Cancelled: The user stopped.
    """
    from sammix_core.pacs.address import address_of

    address = address_of(path)
    if address is None:
        yield path
        return
    from sammix_core.errors import InputError
    from sammix_core.pacs.fetch import fetch_series
    from sammix_core.pacs.find import choose_ct
    from sammix_core.pacs.service import DicomwebService

    if address.study is None:
        raise InputError(f"{address} names no study; add /studies/UID, as sammix pacs find shows it.")
    service = DicomwebService(address, ca_file)
    if address.series is None:
        address = choose_ct(service, address.study, series, values_are_hu).address
    with tempfile.TemporaryDirectory(prefix="sammix-", ignore_cleanup_errors=True) as folder:
        yield fetch_series(service, address, Path(folder), progress, cancel).folder
