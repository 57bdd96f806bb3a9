"""A split stays as it is when slices and patients come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sammix_core.datasets.cases import LabelledCase
from sammix_core.errors import InputError
from sammix_core.training.semi_supervised.split import Split, split_of
from sammix_core.volume.volume import Volume


def a_case(name: str, with_mask: list[int], absent: tuple[int, ...] = (), patient: str = "") -> LabelledCase:
    volume = Volume(np.zeros((30, 8, 8), np.int16), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    masks = {index: np.ones((8, 8), bool) for index in with_mask}
    return LabelledCase(name, volume, masks, absent, patient=patient)


def test_what_is_held_back_stays_so_when_slices_come(tmp_path: Path) -> None:
    file = tmp_path / "work" / "split.json"
    first = split_of([a_case("anna", [3, 5, 7, 9, 11], (0, 1))], 0.2, 1, file)
    assert (first.by, len(first.held_back["anna"])) == ("slice", 2), "one with the structure and one without"
    assert Split.read(file) == first
    second = split_of([a_case("anna", list(range(2, 22)), (0, 1))], 0.2, 9, file)
    assert set(first.held_back["anna"]) <= set(second.held_back["anna"])
    assert set(first.trained_on["anna"]) <= set(second.trained_on["anna"])
    assert len(set(second.held_back["anna"]) - {0, 1}) == 4
    assert second.keeps("anna", second.held_back["anna"][0])
    assert not second.keeps("anna", second.trained_on["anna"][0])


def test_of_several_patients_whole_ones_are_held_back(tmp_path: Path) -> None:
    cases = [a_case(name, [3, 5], (0,)) for name in ("anna", "bert", "cleo")] + [a_case("dora", [])]
    split = split_of(cases, 0.2, 1, tmp_path / "split.json")
    (held,) = split.held_back
    assert split.by == "patient"
    assert split.held_back[held] == (0, 3, 5)
    assert sorted([held, *split.trained_on]) == ["anna", "bert", "cleo"]
    assert split.keeps(held, 17), "its slices without a mask as well"
    later = split_of([*cases, a_case("emil", [4], (0,))], 0.2, 2, tmp_path / "split.json")
    assert list(later.held_back) == [held]


def test_all_volumes_of_a_patient_are_on_one_side(tmp_path: Path) -> None:
    """Those without a mask too, which would be learnt from as unlabelled ones."""
    cases = [
        a_case("portal", [3, 5], (0,), "hcc005"),
        a_case("plain", [4], (), "hcc005"),
        a_case("late", [], (), "hcc005"),
    ]
    others = [a_case("hcc009", [3]), a_case("hcc015", [3])]
    seen = set()
    for seed in range(8):
        split = split_of([*cases, *others], 0.2, seed, tmp_path / f"{seed}.json")
        assert Split.read(tmp_path / f"{seed}.json") == split
        held = {name for name in ("portal", "plain", "late") if split.keeps(name, 1)}
        assert held in (set(), {"portal", "plain", "late"})
        assert len(split.held_back) == (3 if held else 1)
        seen.add(frozenset(held))
    assert len(seen) == 2, "now this patient is held back, now another"


def test_a_split_through_a_patient_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    before = split_of([a_case("portal", [3]), a_case("plain", [3])], 0.5, 1, file)
    assert len(before.held_back) == len(before.trained_on) == 1
    with pytest.raises(InputError, match="one volume of the patient hcc005 and trains on another"):
        split_of([a_case("portal", [3], (), "hcc005"), a_case("plain", [3], (), "hcc005")], 0.5, 1, file)


def test_too_few_masks_and_a_damaged_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label one more"):
        split_of([a_case("anna", [3])], 0.2, 1, tmp_path / "a.json")
    with pytest.raises(InputError, match="No training case has a slice with a mask"):
        split_of([a_case("anna", [])], 0.2, 1, tmp_path / "b.json")
    (tmp_path / "c.json").write_text('{"schema": "sammix-split/1", "by": "slice", "held_back": {"a": "x"}}')
    with pytest.raises(InputError, match=r"c\.json"):
        split_of([a_case("anna", [3, 4])], 0.2, 1, tmp_path / "c.json")
