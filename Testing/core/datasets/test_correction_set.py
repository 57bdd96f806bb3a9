"""Corrections on disk: whole or not at all, anonymous, each to be seen and deleted, and never redrawn."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corrected_slices import a_correction_set, a_patient
from fake_network import turned_volume

from sammix_core import files
from sammix_core.boxes import Box
from sammix_core.datasets.correction import Correction, Source, case_key
from sammix_core.datasets.correction_set import VIEWS_FOLDER, CorrectionSet
from sammix_core.datasets.split import Split
from sammix_core.errors import InputError
from sammix_core.volume.axial_order import AxialOrder

DOCUMENTED = Path(__file__).parents[3] / "docs" / "formats" / "corrections.md"


def old(path: Path) -> Path:
    """Makes a file look as if it were left long ago."""
    os.utime(path, (time.time() - 3600,) * 2)
    return path


# What is kept


def test_an_entry_comes_back_as_it_was(tmp_path: Path) -> None:
    volume, liver = a_patient()
    corrections = CorrectionSet.create(tmp_path / "set", "liver")
    key = corrections.case_key(volume)
    made = Correction.from_volume(volume, None, 4, liver[4], box=Box(4, 3, 5, 30, 40), model="liver/1.1.0")
    entry = corrections.add(made, key)
    assert (entry.case, entry.slice_index, entry.area_px, entry.source) == (key, 4, int(liver[4].sum()), "corrected")
    assert (entry.box, entry.model, entry.number) == ((3, 5, 30, 40), "liver/1.1.0", 1)
    again = CorrectionSet.open(tmp_path / "set")
    assert (again.target, again.entries(), again.leftovers) == ("liver", [entry], [])
    loaded = again.load(entry.id)
    assert np.array_equal(loaded.hu, np.maximum(volume.array[4], -1024))
    assert np.array_equal(loaded.mask, liver[4])
    assert (loaded.spacing_mm, loaded.slices, loaded.crop, loaded.body) == ((6.0, 6.0, 6.0), 8, made.crop, made.body)
    assert loaded.source is Source.CORRECTED


def test_slices_are_kept_in_canonical_order_however_the_volume_lies(tmp_path: Path) -> None:
    volume, liver = a_patient()
    order = AxialOrder((0, 2, 1), (True, False, True))
    turned = turned_volume(volume.array, order, spacing=(6.0, 6.0, 6.0))
    index = order.slice_index(3, turned.shape_kji)
    plane = np.take(order.back(liver), index, "kji".index(order.slice_axis))
    made = Correction.from_volume(turned, None, index, plane)
    assert made.slice_index == 3
    assert np.array_equal(made.hu, np.maximum(volume.array[3], -1024))
    assert np.array_equal(made.mask, liver[3])
    rows, cols = np.flatnonzero(liver[3].any(1)), np.flatnonzero(liver[3].any(0))
    assert made.box == (cols[0], rows[0], cols[-1] + 1, rows[-1] + 1)
    assert case_key(turned) == case_key(volume)


def test_an_empty_mask_says_that_nothing_is_there(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(0,))
    [entry] = corrections.entries()
    assert (entry.area_px, entry.box) == (0, None)
    assert not corrections.load(entry.id).mask.any()


def test_the_same_slice_replaces_itself_and_stays_on_its_side(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set")
    before = {entry.id: (entry.number, entry.held_back) for entry in corrections.entries()}
    volume, liver = a_patient()
    smaller = liver[3].copy()
    smaller[: smaller.shape[0] // 2] = False
    entry = corrections.add(Correction.from_volume(volume, None, 3, smaller), corrections.case_key(volume))
    assert entry.area_px == int(smaller.sum()) < int(liver[3].sum())
    assert {one.id: (one.number, one.held_back) for one in CorrectionSet.open(tmp_path / "set").entries()} == before


def test_nothing_of_the_patient_gets_onto_the_disk(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set")
    text = "".join(path.read_text() for path in corrections.folder.rglob("*.json"))
    assert not re.search(r"\d{4}-\d\d-\d\d|origin|\.nii|date|patient", text, re.IGNORECASE)
    names = [path.name for path in corrections.folder.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"(set|split|case-[0-9a-f]{12}-\d{4})\.json|[0-9a-f]{32}\.npz", name) for name in names)
    volume, liver = a_patient()
    with pytest.raises(InputError, match="named by its key alone"):
        corrections.add(Correction.from_volume(volume, None, 3, liver[3]), "Doe^Jane")


def test_the_documented_keys_are_those_of_an_entry(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(3,))
    [path] = (corrections.folder / "entries").glob("*.json")
    documented = set(re.findall(r"^\| `(\w+)` \|", DOCUMENTED.read_text(), re.MULTILINE))
    assert set(json.loads(path.read_text())) == documented


def test_a_removed_entry_leaves_no_pixels_and_no_views(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(2, 3))
    first, second = corrections.entries()
    image = corrections.load(first.id).hu_sha256
    views = corrections.folder / VIEWS_FOLDER
    views.mkdir()
    (views / f"{image[:16]}-0123.npy").write_bytes(b"embedding")
    (views / f"{corrections.load(second.id).hu_sha256[:16]}-0123.npy").write_bytes(b"embedding")
    corrections.remove(first.id)
    assert CorrectionSet.open(corrections.folder).entries() == [second]
    assert len(list((corrections.folder / "images").iterdir())) == len(list(views.iterdir())) == 1
    assert corrections.load(second.id).mask.any()
    corrections.clear()
    assert len(corrections) == 0
    assert [path.name for path in (corrections.folder / "images").iterdir()] == []
    with pytest.raises(InputError, match="There is no correction"):
        corrections.remove(first.id)


# Crashes and damage


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_crash_at_any_moment_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Split, image and entry are written one after the other; a process may die before each gets its name."""
    corrections = a_correction_set(tmp_path / "set", slices=(2,))
    before = corrections.entries()
    volume, liver = a_patient()
    real, calls = os.replace, []

    def dying(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == moment + 1:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", dying)
        # What a killed process cannot clear away either.
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        with pytest.raises(KeyboardInterrupt):
            corrections.add(Correction.from_volume(volume, None, 3, liver[3]), corrections.case_key(volume))
    for path in corrections.folder.rglob("*"):
        if path.is_file():
            old(path)
    again = CorrectionSet.open(corrections.folder)
    assert again.entries() == before
    assert len(again.leftovers) >= 1
    assert not list(again.folder.rglob(".*"))
    assert len(list((again.folder / "images").iterdir())) == 1
    assert CorrectionSet.open(corrections.folder).leftovers == []
    assert again.add(Correction.from_volume(volume, None, 3, liver[3]), again.case_key(volume)).held_back


def test_what_is_being_written_by_another_process_is_left_alone(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(2,))
    fresh = corrections.folder / "entries" / ".0123abcd-case.json"
    fresh.write_text("{")
    assert CorrectionSet.open(corrections.folder).leftovers == []
    assert fresh.is_file()


def test_a_damaged_entry_is_said_and_the_others_stay(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(2, 3))
    first, second = corrections.entries()
    path = corrections.folder / "entries" / f"{first.id}.json"
    path.write_text(path.read_text()[:200])
    again = CorrectionSet.open(corrections.folder)
    assert again.entries() == [second]
    assert len(again.leftovers) == 1
    assert first.id in again.leftovers[0]
    # Its pixels may be needed once the entry is put right, and the user may delete it.
    assert len(list((corrections.folder / "images").iterdir())) == 2
    again.remove(first.id)
    assert CorrectionSet.open(corrections.folder).leftovers == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("box", [5, 5, 5, 9]),
        ("runs", [1, 2]),
        ("held_back", 1),
        ("source", "guessed"),
        ("case", "Doe^Jane"),
        ("slice", 99),
        ("spacing_mm", [0, 1, 1]),
        ("hu_sha256", "../../secret"),
    ],
)
def test_a_changed_value_is_damage(tmp_path: Path, key: str, value: object) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(3,))
    [entry] = corrections.entries()
    path = corrections.folder / "entries" / f"{entry.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    again = CorrectionSet.open(corrections.folder)
    assert len(again) == 0
    assert "is damaged; remove it" in again.leftovers[0]


def test_other_pixels_than_were_written_are_refused(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(3,))
    [entry] = corrections.entries()
    [image] = (corrections.folder / "images").iterdir()
    np.savez_compressed(image, hu=corrections.load(entry.id).hu + np.int16(1))
    with pytest.raises(InputError, match="pixels of the correction"):
        corrections.load(entry.id)
    image.write_bytes(b"PK no archive")
    with pytest.raises(InputError, match="pixels of the correction"):
        corrections.load(entry.id)


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(2,))
    before = corrections.entries()
    volume, liver = a_patient()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(InputError, match="could not be written: no space left on device"):
            corrections.add(Correction.from_volume(volume, None, 3, liver[3]), corrections.case_key(volume))
    assert corrections.entries() == before == CorrectionSet.open(corrections.folder).entries()
    assert corrections.add(Correction.from_volume(volume, None, 3, liver[3]), corrections.case_key(volume)).number == 2


# Bad input


def test_a_mask_on_another_grid_is_refused() -> None:
    volume, liver = a_patient()
    with pytest.raises(InputError, match=r"49 x 60 pixels and the slice 50 x 60, so they lie on different grids"):
        Correction.from_volume(volume, None, 3, liver[3][1:])
    with pytest.raises(InputError, match="has no slice 8"):
        Correction.from_volume(volume, None, 8, liver[3])


def test_folders_that_are_no_sets_or_other_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no correction set"):
        CorrectionSet.open(tmp_path)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        CorrectionSet.create(tmp_path, "liver")
    a_correction_set(tmp_path / "set")
    with pytest.raises(InputError, match="show liver, not spleen"):
        CorrectionSet.open_or_create(tmp_path / "set", "spleen")
    (tmp_path / "set" / "set.json").write_text('{"schema": "sammix-corrections/9", "target": "liver"}')
    with pytest.raises(InputError, match="not a correction set of the kind sammix-corrections/1"):
        CorrectionSet.open(tmp_path / "set")


# The split


def test_one_in_four_is_held_back_and_one_of_the_first_two(tmp_path: Path) -> None:
    split = Split(tmp_path / "split.json")
    sides = [split.side("case-000000000001", index, positive=True) for index in range(12)]
    assert sides == [False, True, False, False, False, False, False, True, False, False, False, True]


def test_sides_are_never_redrawn(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(2, 3, 4, 5))
    sides = {entry.slice_index: entry.held_back for entry in corrections.entries()}
    assert sides == {2: False, 3: True, 4: False, 5: False}
    corrections.clear()
    again = a_correction_set(tmp_path / "set", slices=(3, 5, 4, 2))  # in another order, after all were deleted
    assert {entry.slice_index: entry.held_back for entry in again.entries()} == sides


def test_every_fourth_case_is_held_back_whole_and_every_case_is_checked(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set", slices=(2, 3, 4), seeds=(0, 1, 2, 3))
    held = {}
    for entry in corrections.entries():
        held.setdefault(entry.case, []).append(entry.held_back)
    cases = list(held)
    assert held[cases[3]] == [True, True, True]
    assert corrections.is_whole(cases[3])
    assert not corrections.is_whole(cases[0])
    assert all(sum(held[case]) == 1 for case in cases[:3])


def test_a_damaged_split_is_said(tmp_path: Path) -> None:
    corrections = a_correction_set(tmp_path / "set")
    path = corrections.folder / "split.json"
    path.write_text(path.read_text().replace("true", '"yes"', 1))
    with pytest.raises(InputError, match="is damaged"):
        CorrectionSet.open(corrections.folder)
