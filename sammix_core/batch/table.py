"""The table of a batch, worst first: CSV for programs, a page for people."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.job import PREVIEW, REPORT
from sammix_core.batch.ledger import Entry, State
from sammix_core.batch.page import render_page
from sammix_core.files import atomic_path, write_text_atomic

# A volume so far from the median of the batch, in units of the spread that half of the studies keep to, is odd.
_ODD_SPREADS = 4.0
_LEAST_TO_COMPARE = 8


@dataclass(frozen=True)
class Row:
    """A study in the table.

    Attributes:
        entry: What the ledger says of it.
        flags: Why a person should look at it, in a few words each, the gravest first; empty where nothing is odd.
        concern: Higher is worse; rows are in its order.
    """

    entry: Entry
    flags: tuple[str, ...]
    concern: tuple[int, float, float]


def write_tables(folder: BatchFolder, entries: Sequence[Entry]) -> None:
    """Writes both tables, each whole or not at all.

    Args:
        folder: The batch's folder.
        entries: All of its ledger.

    Raises:
        InputError: One cannot be written.
    """
    rows = rows_of(entries)
    with atomic_path(folder.csv) as temporary:
        # With a byte order mark, which spreadsheets need to see UTF-8.
        temporary.write_text(csv_of(rows, folder), encoding="utf-8-sig", newline="")
    write_text_atomic(folder.html, render_page([(row.entry, row.flags) for row in rows], folder))


def rows_of(entries: Sequence[Entry]) -> list[Row]:
    """The studies worst first: failed, then with warnings, then by what there is to review; waiting ones at the end.

    Args:
        entries: In any order.
    """
    volumes = [entry.figures.volume_ml for entry in entries if entry.state is State.DONE and entry.figures]
    limits = _limits([volume for volume in volumes if volume])
    return sorted((_row(entry, limits) for entry in entries), key=lambda row: row.concern, reverse=True)


def csv_of(rows: Sequence[Row], folder: BatchFolder) -> str:
    """The table as CSV, with a header line.

    Args:
        rows: In their order.
        folder: The batch's folder, for the paths in it.
    """
    kept = list(dict.fromkeys(key for row in rows for key in row.entry.identifiers))
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([*_csv_columns(rows[0], folder), *kept] if rows else [])
    for row in rows:
        values = _csv_columns(row, folder)
        identifiers = [row.entry.identifiers.get(key, "") for key in kept]
        writer.writerow([_harmless(value) for value in (*values.values(), *identifiers)])
    return stream.getvalue()


def _row(entry: Entry, limits: tuple[float, float] | None) -> Row:
    if entry.state is State.FAILED:
        return Row(entry, ("failed",), (4, 0.0, 0.0))
    figures = entry.figures
    if entry.state is not State.DONE or figures is None:
        return Row(entry, (), (0, 0.0, 0.0))
    flags = []
    if figures.warnings:
        flags.append("warning")
    if figures.slices_with_mask == 0:
        flags.append(f"no {figures.target} found")
    volume = figures.volume_ml
    is_odd = volume is not None and volume > 0 and limits is not None and not limits[0] <= volume <= limits[1]
    if is_odd:
        flags.append("volume unlike the others")
    if figures.slices_to_review:
        count = figures.slices_to_review
        flags.append("1 slice to review" if count == 1 else f"{count} slices to review")
    grave = 3 if figures.warnings or not figures.slices_with_mask else 2 if is_odd else 1
    return Row(entry, tuple(flags), (grave, figures.review_share, figures.worst_uncertainty))


def _limits(volumes: list[float]) -> tuple[float, float] | None:
    """The volumes that are not odd in this batch; None where there are too few to tell."""
    if len(volumes) < _LEAST_TO_COMPARE:
        return None
    middle = statistics.median(volumes)
    spread = statistics.median(abs(volume - middle) for volume in volumes)
    # Copies of one study have no spread at all.
    reach = _ODD_SPREADS * max(spread, 0.02 * middle)
    return middle - reach, middle + reach


def _csv_columns(row: Row, folder: BatchFolder) -> dict[str, object]:
    entry, figures = row.entry, row.entry.figures if row.entry.state is State.DONE else None
    done = figures is not None
    return {
        "name": entry.name,
        "state": entry.state.value,
        "flags": "; ".join(row.flags),
        "sentence": entry.sentence,
        "source": "" if entry.is_dicom else entry.source,
        "volume_ml": "" if figures is None or figures.volume_ml is None else figures.volume_ml,
        "target": figures.target if figures else "",
        "slices": figures.slices if figures else "",
        "slices_with_mask": figures.slices_with_mask if figures else "",
        "slices_to_review": figures.slices_to_review if figures else "",
        "worst_slice": "" if figures is None or figures.worst_slice is None else figures.worst_slice,
        "worst_uncertainty": figures.worst_uncertainty if figures else "",
        "worst_reasons": "; ".join(figures.worst_reasons) if figures else "",
        "warnings": " ".join(figures.warnings) if figures else "",
        "notes": " ".join(figures.notes) if figures else "",
        "model": figures.model if figures else "",
        "device": figures.device if figures else "",
        "seconds": figures.seconds if figures else "",
        "mask": entry.mask if done else "",
        "report": folder.relative(REPORT, entry.name) if done else "",
        "preview": folder.relative(PREVIEW, entry.name) if done else "",
        "input_sha256": entry.input_hash,
    }


def _harmless(value: object) -> object:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value
