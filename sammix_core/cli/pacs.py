"""`sammix pacs`: finds, fetches and sends studies by DICOMweb."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli import console
from sammix_core.cli.dicomweb_input import CaFile
from sammix_core.cli.options import Quiet, option_groups
from sammix_core.errors import Cancelled, InputError

if TYPE_CHECKING:
    from sammix_core.pacs.address import DicomwebAddress
    from sammix_core.pacs.fetch import FetchedSeries
    from sammix_core.pacs.find import FoundSeries
    from sammix_core.pacs.send import Sent

app = typer.Typer(
    help="Find, fetch and send studies by DICOMweb. The login comes from SAMMIX_PACS_TOKEN, or SAMMIX_PACS_USER and "
    "SAMMIX_PACS_PASSWORD, or the keyring.",
    no_args_is_help=True,
)

_Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="dicomweb://host[:port]/path, or a study or series in it.")
]
_ASK = "-"
_SCHEMA = "sammix-pacs/1"


@dataclass(frozen=True)
class StudySearch:
    """Which studies of a DICOMweb service are meant."""

    patient_id: Annotated[
        str, typer.Option(help='Patient ID; "-" asks for it, so that it stays out of the history of the shell.')
    ] = ""
    accession: Annotated[str, typer.Option(help='Accession number; "-" asks for it.')] = ""
    date: Annotated[str, typer.Option(help="Date of the study, or a range: 20260131, 20260101-20260131.")] = ""
    limit: Annotated[int, typer.Option(min=1, help="At most this many studies.")] = 50

    def filters(self) -> dict[str, str]:
        """The values to search for, by DICOM keyword."""
        return {
            "PatientID": _asked("Patient ID", self.patient_id),
            "AccessionNumber": _asked("Accession number", self.accession),
            "StudyDate": self.date,
        }


@dataclass(frozen=True)
class Search(StudySearch):
    """What `sammix pacs find` searches for."""

    modality: Annotated[str, typer.Option(help="Of the series: CT, SEG, SR, ...")] = ""


@app.command("find")
@option_groups
def find(
    address: _Address,
    search: Search,
    keep_identifiers: Annotated[
        bool, typer.Option("--keep-identifiers", help="Show patient ID and name, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ca_file: CaFile = None,
) -> None:
    """List series with the addresses by which segment and fetch take them."""
    from sammix_core.pacs.find import find_series
    from sammix_core.pacs.service import DicomwebService

    service = DicomwebService(_parsed(address), ca_file)
    found, more = find_series(service, search.filters(), search.modality.upper() or None, search.limit)
    if as_json:
        entries = [_entry(series, keep_identifiers) for series in found]
        print(json.dumps({"schema": _SCHEMA, "series": entries, "more": more}, indent=2))
        return
    screen = console.out()
    for series in found:
        screen.print("  ".join(_columns(series, keep_identifiers)))
        screen.print(f"    {series.address}", style="dim")
    if not found:
        screen.print("Nothing was found.")
    if more:
        screen.print(f"There are more than {search.limit} studies; narrow the search, or raise --limit.")


@app.command("fetch")
def fetch(
    address: _Address,
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder; each series gets one of its own in it.")],
    modality: Annotated[str, typer.Option(help="Of a study, only series of this modality: CT.")] = "",
    ca_file: CaFile = None,
    quiet: Quiet = False,
) -> None:
    """Fetch a series or all series of a study; the same command goes on after a cut."""
    from sammix_core.cli.progress import shown_progress
    from sammix_core.pacs.fetch import fetch_series
    from sammix_core.pacs.find import series_of
    from sammix_core.pacs.service import DicomwebService
    from sammix_core.progress import Interrupts

    source = _parsed(address)
    if source.study is None:
        raise InputError(f"{source} names no study; add /studies/UID, as sammix pacs find shows it.")
    stopped = "Stopped as asked; the images that arrived stay, and the same command goes on from there."
    with _stopping(stopped), Interrupts() as interrupts, shown_progress(quiet=quiet) as show:
        service = DicomwebService(source, ca_file)
        if source.series is not None:
            wanted = [source]
        else:
            found = series_of(service, source.study)
            wanted = [entry.address for entry in found if modality.upper() in ("", entry.modality)]
            if not wanted:
                what = f"no {modality.upper()} series" if found else "no such study"
                raise InputError(f"{source.service} has {what}; check the address.")
        fetched = [fetch_series(service, one, output, show, interrupts.asked) for one in wanted]
        if source.series is None and len(series_of(service, source.study)) != len(found):
            raise InputError("The study changed while it was read: a series came or went. Run the same command again.")
    if not quiet:
        for series in fetched:
            console.out().print(f"{series.folder}: {_counted(series.images, 'image')}{_kept(series)}")


@app.command("send")
def send(
    address: _Address,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="DICOM files, or folders of them.")],
    ca_file: CaFile = None,
    quiet: Quiet = False,
) -> None:
    """Send DICOM files, such as a SEG and its report, and check that they arrived."""
    from sammix_core.cli.progress import shown_progress
    from sammix_core.pacs.send import files_to_send, send_files
    from sammix_core.pacs.service import DicomwebService
    from sammix_core.progress import Interrupts

    target = _parsed(address)
    to_send = files_to_send(files)
    stopped = "Stopped as asked; some files may have arrived, and the same command sends the others."
    with _stopping(stopped), Interrupts() as interrupts, shown_progress(quiet=quiet) as show:
        done = send_files(DicomwebService(target, ca_file), to_send, show, interrupts.asked)
    if not quiet:
        console.out().print(_sentence(done, target.host))


def _sentence(done: Sent, host: str) -> str:
    if not done.sent:
        return f"{_counted(done.there, 'file')} {'was' if done.there == 1 else 'were'} there already; nothing was sent"
    there = f", {done.there} {'was' if done.there == 1 else 'were'} there already" if done.there else ""
    return f"{_counted(done.sent, 'file')} sent to {host}, each found there again{there}"


@contextmanager
def _stopping(sentence: str) -> Iterator[None]:
    """Says what is left where the user stops the block."""
    try:
        yield
    except (Cancelled, KeyboardInterrupt) as error:
        raise Cancelled(sentence) from error


def _parsed(text: str) -> DicomwebAddress:
    from sammix_core.pacs.address import DicomwebAddress

    return DicomwebAddress.parse(text)


def _asked(what: str, value: str) -> str:
    if value != _ASK:
        return value
    return typer.prompt(what, err=True) if sys.stdin.isatty() else sys.stdin.readline().strip()


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _kept(series: FetchedSeries) -> str:
    if not series.kept:
        return ""
    return ", all there before" if series.kept == series.images else f", {series.kept} of them there before"


def _columns(series: FoundSeries, keep_identifiers: bool) -> list[str]:
    images = _counted(series.images, "image") if series.images else "images unknown"
    columns = [series.name, series.date or "date unknown", f"{series.modality:<3}", f"{images:>11}", series.description]
    return columns + ([series.patient] if keep_identifiers else [])


def _entry(series: FoundSeries, keep_identifiers: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "series": series.name,
        "date": series.date,
        "modality": series.modality,
        "images": series.images,
        "description": series.description,
        "address": str(series.address),
    }
    return {**entry, "patient": series.patient} if keep_identifiers else entry
