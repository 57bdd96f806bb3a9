"""What the ledger keeps, and what it removes for good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sammix_core.batch.figures import Figures
from sammix_core.batch.ledger import Done, Ledger, State
from sammix_core.batch.study import Study
from sammix_core.errors import InputError

FIGURES = Figures("liver", 1500.0, 40, 30, 2, 7, 0.8, ("low score",), (), ("A note.",), "liver/1.1.0", "cpu", 12.5)


def a_study(key: str, name: str = "ct", **changes: object) -> Study:
    study = Study(key=key, name=name, other_name=f"folder-{name}", source=f"/in/{name}.nii.gz", folder=Path("/in"))
    return replace(study, **changes)  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path):
    opened = Ledger(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


def test_a_study_goes_through_its_states_and_survives_closing(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add([a_study("k1", "a"), a_study("k2", "b")])
    ledger.start("k1")
    assert [entry.state for entry in ledger.entries()] == [State.RUNNING, State.WAITING]
    ledger.finish("k1", Done("stamp", "input", "model", "masks/a.nii.gz", FIGURES))
    ledger.fail("k2", "It is broken.", "stamp", "input", "model")
    ledger.close()
    again = Ledger(tmp_path / "ledger.sqlite")
    done, failed = again.entries()
    assert (done.state, done.figures, done.mask, done.input_hash) == (State.DONE, FIGURES, "masks/a.nii.gz", "input")
    assert (failed.state, failed.sentence, failed.model_hash) == (State.FAILED, "It is broken.", "model")
    again.wait(["k2"])
    assert again.entries()[1].sentence == ""
    again.start("k2")
    again.add([a_study("k2", "b"), a_study("k1", "a")])
    assert [(entry.key, entry.state) for entry in again.entries()] == [("k2", State.WAITING), ("k1", State.DONE)]
    again.close()


def test_names_differ_whatever_the_file_system_makes_of_case(ledger: Ledger) -> None:
    ledger.add([a_study("1", "CT"), a_study("2", "ct"), a_study("3", "ct"), a_study("4", "Ct")])
    assert [entry.name for entry in ledger.entries()] == ["CT", "folder-ct", "folder-ct-2", "folder-Ct-3"]
    # A study keeps its name, whoever comes later.
    ledger.add([a_study("0", "ct"), a_study("2", "ct")])
    assert {entry.key: entry.name for entry in ledger.entries()}["2"] == "folder-ct"


def test_identifiers_leave_no_trace_in_the_file(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add([a_study(str(number), f"s{number}", identifiers={"PatientID": "MRN-5550"}) for number in range(50)])
    assert b"MRN-5550" in (tmp_path / "ledger.sqlite").read_bytes()
    ledger.forget_identifiers()
    assert b"MRN-5550" not in (tmp_path / "ledger.sqlite").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"ledger.sqlite"}


def test_a_full_disk_is_a_sentence_and_changes_nothing(ledger: Ledger) -> None:
    ledger.add([a_study("1", "a")])
    ledger._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(InputError, match=r"The ledger .*ledger\.sqlite cannot be used: database or disk is full\."):
        ledger.add([a_study(str(number), f"s{number}") for number in range(500)])
    assert [entry.name for entry in ledger.entries()] == ["a"]
