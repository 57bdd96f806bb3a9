"""Strokes of a reader: each does to the mask what `strokes.py` says, and a line that cannot be read is named."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sammix_core.errors import InputError

PAINTING = Path(__file__).parents[2] / "benchmarks" / "liver_model" / "painting"
LIVER_HU, FAT_HU, SHAPE = 100.0, -80.0, (60, 80)


@pytest.fixture(scope="module")
def strokes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("painting_strokes", PAINTING / "strokes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rectangle(col_min: int, row_min: int, col_max: int, row_max: int) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[row_min:row_max, col_min:col_max] = True
    return mask


MODEL = rectangle(10, 10, 30, 30)


def painted(strokes: ModuleType, tmp_path: Path, *lines: str) -> np.ndarray:
    path = tmp_path / "case.txt"
    path.write_text("".join(f"7: {line}\n" for line in lines))
    hu = np.where(rectangle(0, 0, 40, 60), LIVER_HU, FAT_HU)
    easel = strokes.Easel(hu, lambda: MODEL, lambda index: rectangle(0, 0, index, 5), lambda box: rectangle(*box))
    mask: np.ndarray = easel.paint(strokes.StrokeFile.read(path).slices[7])
    return mask


CASES = {
    "the model's mask": (["model"], MODEL),
    "a box's answer is added": (["model", "box 40 10 50 20"], MODEL | rectangle(40, 10, 50, 20)),
    "another slice is copied": (["copy 9"], rectangle(0, 0, 9, 5)),
    "a polygon is added": (["add 5,5 14,5 14,9 5,9"], rectangle(5, 5, 15, 10)),
    "a polygon is cut": (["model", "cut 0,0 79,0 79,19 0,19"], rectangle(10, 20, 30, 30)),
    "growing stops at fat": (["grow 60 140 30,10 60,10 60,20 30,20"], rectangle(30, 10, 39, 21)),
    "shaving takes fat alone": (["add 30,10 60,10 60,20 30,20", "shave -100 0 30,10 60,10 60,20 30,20"], None),
    "a dot": (["brush 2 20,20"], None),
    "a rubbed line": (["model", "rub 40 0,40 79,40", "rub 0 0,0"], None),
    "parts that are kept": (["model", "box 40 10 50 20", "keep 45,15"], rectangle(40, 10, 50, 20)),
    "holes are filled": (["model", "cut 15,15 20,15 20,20 15,20", "fill"], MODEL),
}


@pytest.mark.parametrize("case", CASES)
def test_a_stroke_does_what_it_says(strokes: ModuleType, tmp_path: Path, case: str) -> None:
    lines, expected = CASES[case]
    mask = painted(strokes, tmp_path, *lines)
    if expected is not None:
        np.testing.assert_array_equal(mask, expected)
    elif case == "a dot":
        rows, cols = np.nonzero(mask)
        assert np.hypot(rows - 20, cols - 20).max() == 2
        assert mask.sum() == 13
    elif case == "shaving takes fat alone":
        assert mask[10:21, 30:39].all()
        assert not mask[:, 42:].any()
    else:
        assert not mask.any()


def test_what_is_said_of_slices_is_read(strokes: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "case.txt"
    path.write_text(
        "by: A reader.  # of two\nabsent 0-2 9\n# nothing\npresent 3\nundecided 4 5\n6: model\n6: smooth 1\n"
    )
    file = strokes.StrokeFile.read(path)
    assert file.made_by == "A reader."
    assert (file.absent, file.present, file.undecided) == ({0, 1, 2, 9}, {3}, {4, 5})
    assert [stroke.kind for stroke in file.slices[6]] == ["model", "smooth"]


@pytest.mark.parametrize(
    "line", ["7: paint 1,2", "7: add 1,2 3,4", "7: brush 1,2", "7: box 1 2 3", "absence 3", "7: add a"]
)
def test_a_line_that_cannot_be_read_is_named(strokes: ModuleType, tmp_path: Path, line: str) -> None:
    path = tmp_path / "case.txt"
    path.write_text(f"by: A reader.\n{line}\n")
    with pytest.raises(InputError, match=r"case\.txt, line 2: "):
        strokes.StrokeFile.read(path)
