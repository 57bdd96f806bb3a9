"""The tables: in which order, with which words, and as a page that needs nothing else."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sammix_core.batch import page
from sammix_core.batch.figures import Figures
from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.ledger import Entry, State
from sammix_core.batch.table import csv_of, rows_of, write_tables

FINE = Figures("liver", 1500.0, 40, 30, 0, None, 0.0, (), (), (), "liver/1.1.0", "cpu", 12.5)


def an_entry(name: str, state: State = State.DONE, sentence: str = "", is_dicom: bool = False, **figures) -> Entry:
    return Entry(
        key=f"key-{name}",
        name=name,
        label=name,
        source=f"/in/{name}.nii.gz",
        is_dicom=is_dicom,
        state=state,
        sentence=sentence,
        mask=f"masks/{name}.nii.gz",
        figures=replace(FINE, **figures) if state is State.DONE else None,
    )


MIXED = [
    an_entry("fine"),
    an_entry("waiting", State.WAITING),
    an_entry("few", slices_to_review=1, worst_slice=4, worst_uncertainty=0.9, worst_reasons=("low score",)),
    an_entry("many", slices_to_review=20, worst_slice=9, worst_uncertainty=0.6),
    an_entry("empty", slices_with_mask=0, volume_ml=0.0),
    an_entry("warned", warnings=("Check first whether this is a liver at all.",)),
    an_entry("broken", State.FAILED, "It is <cut> short."),
]


def test_the_worst_come_first_and_waiting_ones_last() -> None:
    rows = rows_of(MIXED)
    assert [row.entry.name for row in rows] == ["broken", "empty", "warned", "many", "few", "fine", "waiting"]
    flags = {row.entry.name: row.flags for row in rows}
    assert flags["broken"] == ("failed",)
    assert flags["empty"] == ("no liver found",)
    assert (flags["many"], flags["few"], flags["fine"]) == (("20 slices to review",), ("1 slice to review",), ())


def test_a_volume_unlike_the_others_is_odd_where_there_are_enough_to_tell() -> None:
    usual = [an_entry(f"usual{number}", volume_ml=1400.0 + 30 * number) for number in range(8)]
    odd = an_entry("odd", volume_ml=90.0)
    first = rows_of([*usual, odd])[0]
    assert (first.entry.name, first.flags) == ("odd", ("volume unlike the others",))
    assert all(not row.flags for row in rows_of([*usual[:5], odd]))
    # Nor is every hair's breadth odd where all are alike.
    assert all(
        not row.flags for row in rows_of([an_entry(f"n{number}", volume_ml=1500.0 + number) for number in range(9)])
    )


def test_the_csv_names_files_and_hides_formulas_and_where_dicom_lies() -> None:
    entries = [
        an_entry("dicom-1", is_dicom=True),
        replace(an_entry("note"), sentence="", identifiers={"PatientID": "=HYPERLINK(1)"}),
        an_entry("broken", State.FAILED, "-1 slices."),
    ]
    rows = list(csv.DictReader(io.StringIO(csv_of(rows_of(entries), BatchFolder(Path("out"))))))
    by_name = {row["name"]: row for row in rows}
    assert by_name["dicom-1"]["source"] == ""
    assert by_name["dicom-1"]["preview"] == "previews/dicom-1.jpg"
    assert (by_name["broken"]["sentence"], by_name["broken"]["mask"]) == ("'-1 slices.", "")
    assert (by_name["note"]["PatientID"], by_name["broken"]["PatientID"]) == ("'=HYPERLINK(1)", "")


def test_the_page_holds_its_pictures_and_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BatchFolder(tmp_path)
    (tmp_path / "previews").mkdir()
    for name in ("fine", "few", "many"):
        (tmp_path / "previews" / f"{name}.jpg").write_bytes(f"picture of {name}".encode())
    monkeypatch.setattr(page, "MOST_PICTURES", 2)
    write_tables(folder, MIXED)
    text = folder.html.read_text(encoding="utf-8")
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert [base64.b64decode(picture) for picture in pictures] == [b"picture of many", b"picture of few"]
    assert 'href="previews/fine.jpg"' in text
    # Links and pictures stay in the folder or in the page itself.
    sources = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert all(source.startswith(("data:image/jpeg", "masks/", "previews/")) for source in sources)
    assert "http" not in re.sub(r"base64,[^\"]+", "", text)
    assert "It is &lt;cut&gt; short." in text
    assert "<cut>" not in text
    assert "Least certain: slice 4 (low score)." in text
    order = [text.index(f'id="key-{name}"') for name in ("broken", "empty", "warned", "many", "few", "fine", "waiting")]
    assert order == sorted(order)
    assert folder.csv.read_bytes().startswith(b"\xef\xbb\xbfname,state,")


def test_an_empty_batch_has_tables_too(tmp_path: Path) -> None:
    write_tables(BatchFolder(tmp_path), [])
    assert "SAMMix batch: 0 studies" in (tmp_path / "table.html").read_text(encoding="utf-8")
