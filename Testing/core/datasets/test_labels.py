"""Labels as run lengths: there and back, damage, and the label files that this project ships."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from sammix_core.datasets.labels import CaseLabels, decode_runs, encode_runs
from sammix_core.errors import InputError

SHIPPED = sorted((Path(__file__).parents[3] / "benchmarks" / "liver_model" / "labels").glob("*.json"))


@given(st_numpy.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_runs_come_back(mask: np.ndarray) -> None:
    runs = encode_runs(mask)
    np.testing.assert_array_equal(decode_runs(runs, mask.shape), mask)
    assert sum(runs) == mask.size
    assert all(run > 0 for run in runs[1:])


@pytest.mark.parametrize(
    ("rows", "runs"),
    [(["...", "..."], [6]), (["###", "###"], [0, 6]), (["#..", "..#"], [0, 1, 4, 1]), ([".##", "#.."], [1, 3, 2])],
)
def test_runs_written_out(rows: list[str], runs: list[int]) -> None:
    mask = np.array([[letter == "#" for letter in row] for row in rows])
    assert encode_runs(mask) == runs
    np.testing.assert_array_equal(decode_runs(runs, mask.shape), mask)


def test_a_mask_of_numbers_counts_what_is_not_0() -> None:
    assert encode_runs(np.array([[0, 3, 255]], np.uint8)) == [1, 2]


@pytest.mark.parametrize(
    "runs", [[], [5], [7], [1, -2, 7], [3, 4], [1.5, 4.5], ["6"], [True, 5], [None], [[6]], "6", 6]
)
def test_runs_that_do_not_fill_their_slice_are_refused(runs: Any) -> None:
    with pytest.raises(InputError, match="do not fill its slice"):
        decode_runs(runs, (2, 3))


def some_labels() -> CaseLabels:
    rng = np.random.default_rng(0)
    masks = {k: rng.random((7, 9)) < 0.3 for k in (4, 2, 11)}
    return CaseLabels(
        "case",
        "liver",
        "Made here.",
        (12, 7, 9),
        masks,
        without=frozenset({0, 1, 5, 9, 10}),
        present=frozenset({3}),
        undecided=frozenset({6, 7}),
        began_from={2: 0.9312, 4: 1.0},
    )


def test_a_file_comes_back(tmp_path: Path) -> None:
    labels = some_labels()
    labels.write(tmp_path / "labels.json")
    read = CaseLabels.read(tmp_path / "labels.json")
    assert (read.case, read.target, read.made_by) == ("case", "liver", "Made here.")
    assert read.shape == (12, 7, 9)
    assert read.without == {0, 1, 5, 9, 10}
    assert (read.present, read.undecided) == ({3}, {6, 7})
    assert read.began_from == {2: 0.9312, 4: 1.0}
    assert read.masks.keys() == {2, 4, 11}
    for k, mask in labels.masks.items():
        np.testing.assert_array_equal(read.masks[k], mask)
    read.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "labels.json").read_bytes()


def test_a_file_is_strict_json_with_a_slice_a_line(tmp_path: Path) -> None:
    some_labels().write(tmp_path / "labels.json")
    text = (tmp_path / "labels.json").read_text()
    document = json.loads(text)
    assert document["schema"] == "sammix-labels/2"
    assert document["without"] == [[0, 1], [5, 5], [9, 10]]
    assert [entry["slice"] for entry in document["slices"]] == [2, 4, 11]
    assert sum(line.lstrip().startswith('{"slice"') for line in text.splitlines()) == 3


def test_a_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    some_labels().write(tmp_path / "labels.json")
    document = json.loads((tmp_path / "labels.json").read_text())
    del document["present"], document["undecided"]
    for entry in document["slices"]:
        entry.pop("began_from", None)
    (tmp_path / "first.json").write_text(json.dumps({**document, "schema": "sammix-labels/1"}))
    read = CaseLabels.read(tmp_path / "first.json")
    assert read.masks.keys() == {2, 4, 11}
    assert (read.present, read.undecided, read.began_from) == (frozenset(), frozenset(), {})


def test_labels_without_any_mask_come_back(tmp_path: Path) -> None:
    CaseLabels("chest", "liver", "Made here.", (3, 4, 5), {}, frozenset({0, 1, 2})).write(tmp_path / "l.json")
    read = CaseLabels.read(tmp_path / "l.json")
    assert read.masks == {}
    assert read.without == {0, 1, 2}


Damage = Callable[[dict[str, Any]], object]

DAMAGED: dict[str, Damage] = {
    "another schema": lambda d: d.update(schema="sammix-labels/3"),
    "a slice in two lists": lambda d: d.update(present=[[5, 5]]),
    "an undecided slice with a mask": lambda d: d.update(undecided=[[2, 2]]),
    "an unknown key": lambda d: d.update(spacing=[1, 1, 1]),
    "a missing key": lambda d: d.pop("without"),
    "runs too short": lambda d: d["slices"][0]["runs"].pop(),
    "runs of text": lambda d: d["slices"][0].update(runs="no"),
    "a slice past the end": lambda d: d["slices"][0].update(slice=12),
    "a slice before the start": lambda d: d["slices"][0].update(slice=-1),
    "a slice that is text": lambda d: d["slices"][0].update(slice="2"),
    "a slice twice": lambda d: d["slices"].append(d["slices"][0]),
    "a slice with and without": lambda d: d["without"].append([4, 4]),
    "a slice without runs": lambda d: d["slices"][0].pop("runs"),
    "without past the end": lambda d: d["without"].append([11, 12]),
    "without of text": lambda d: d.update(without=["0-3"]),
    "without of one number": lambda d: d.update(without=[[3]]),
    "a grid of two numbers": lambda d: d.update(grid_shape_kji=[12, 7]),
    "a grid of text": lambda d: d.update(grid_shape_kji="12"),
    "slices that are none": lambda d: d.update(slices=3),
    "a box that is not the mask's": lambda d: d["slices"][0].update(box=[0, 0, 1, 1]),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "labels.json"
    some_labels().write(path)
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        CaseLabels.read(path)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_what_is_no_label_file_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", "3", "{}"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=r"x\.json"):
            CaseLabels.read(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot be read"):
        CaseLabels.read(tmp_path / "absent.json")


# The labels of the default model


def test_the_labels_of_the_default_model_are_there() -> None:
    assert [path.stem for path in SHIPPED] == [
        "acrin_flt_breast_001_abdpelvis",
        "acrin_flt_breast_013_chest",
        "crlm1004",
        "hcc002_portal",
        "hcc005_plain",
        "hcc005_portal",
        "hcc006_portal",
        "hcc007_arterial",
        "hcc007_plain10mm",
        "hcc007_post_portal",
        "hcc009_plain10mm",
        "hcc009_portal",
        "hcc015_arterial",
        "hcc015_portal",
        "kits00072_slab",
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_labels_are_readable_and_their_boxes_tight(path: Path) -> None:
    labels = CaseLabels.read(path)
    document = json.loads(path.read_text())
    assert labels.target == "liver"
    assert "not by a radiologist" in labels.made_by
    assert labels.masks.keys() | labels.without <= set(range(labels.shape[0]))
    assert not labels.masks.keys() & labels.without
    assert labels.masks
    for entry in document["slices"]:
        mask = labels.masks[entry["slice"]]
        i_min, j_min, i_max, j_max = entry["box"]
        assert mask[j_min:j_max, i_min:i_max].sum() == mask.sum() > 0
        for edge in (mask[j_min], mask[j_max - 1], mask[:, i_min], mask[:, i_max - 1]):
            assert edge.any()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_labels_look_like_a_liver_from_slice_to_slice(path: Path) -> None:
    """Neighbouring slices overlap; a mask put on the wrong slice or mirrored would not."""
    labels = CaseLabels.read(path)
    for k, mask in labels.masks.items():
        above = labels.masks.get(k + 1)
        if above is not None:
            assert (mask & above).sum() / min(mask.sum(), above.sum()) > 0.5, f"slices {k} and {k + 1}"
