"""The results page's section on M-SAM and lesions says what was measured, and what was not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("lesion_table", BENCHMARKS / "lesion_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stage(number: int, seed: int, dice: float, way: str = "one click") -> dict[str, Any]:
    return {"model": "m/0.1.0", "case": "anna", "way": way, "seed": seed, "stage": number, "dice": dice}


def click(lesion: int, dice: float, iou: float, **more: Any) -> dict[str, Any]:
    head = {"case": "cleo", "liver": "reference", "way": "click", "lesion": lesion, "voxels": 90, "ml": 1.26}
    return {**head, "dice": dice, "iou": iou, **more}


def candidates(iou: float, found: int, wrong: int) -> dict[str, Any]:
    head = {"case": "cleo", "liver": "reference", "way": "candidates", "iou": iou, "lesions": 2}
    return {**head, "found": found, "false_positives": wrong, "dice": {"1": 0.8}}


def test_without_rows_it_says_so(table: ModuleType) -> None:
    assert table.section([], []).count("not measured yet") == 2


def test_stages_are_means_over_draws_with_the_lowest(table: ModuleType) -> None:
    rows = [stage(1, 0, 0.1), stage(1, 0, 0.9), stage(1, 1, 0.8), stage(2, 0, 0.95), stage(2, 1, 0.95)]
    text = table.section(rows, [])
    assert "| begins from | stage 1 | stage 2 |" in text
    assert "| one click | 0.850 (0.800) | 0.950 (0.950) |" in text, "of two rows alike the last one counts"


def test_lesions_are_counted_by_overlap_and_listed_where_they_are_few(table: ModuleType) -> None:
    rows = [
        click(1, 0.1, 0.05),
        click(1, 0.8, 0.67),
        click(2, 0.0, 0.0, refused="The click shows nothing."),
        candidates(0.5, 0, 4),
        candidates(0.1, 1, 3),
    ]
    text = table.section([], rows)
    assert "| cleo | reference | click | 2 | 1 / 1 | - | 0.400, 0.400 |" in text
    assert "| cleo | reference | candidates | 2 | 1 / 0 | 3 / 4 | 0.800, 0.800 (of those found) |" in text
    assert "- cleo, liver by reference, lesion 1 (1.3 mL): Dice 0.800" in text
    assert "lesion 2 (1.3 mL): the click was refused" in text
    assert "Not measured yet with the model's own mask of the liver: lits117, ircadb17." in " ".join(text.split())


def cam(case: str, listed: list[tuple[float, bool]]) -> list[dict[str, Any]]:
    head = {"case": case, "liver": "reference", "lesions": 3}
    candidates = [{"score": score, "voxels": 90, "hit_0.1": hit, "hit_0.5": False} for score, hit in listed]
    alone = [{**head, "way": "cam", "iou": least, "found": 1, "false_positives": 6, "dice": {}} for least in (0.1, 0.5)]
    return [*alone, {**head, "way": "score", "candidates": candidates}]


def test_a_cam_is_told_by_how_it_sorts_and_by_a_cut_from_one_case(table: ModuleType) -> None:
    rows = [click(1, 0.8, 0.67), candidates(0.1, 1, 3), candidates(0.5, 1, 3)]
    rows += cam("lits117", [(0.9, True), (0.4, True), (0.5, False), (0.1, False)])
    rows += cam("cleo", [(0.3, True), (0.7, True), (0.2, False)])
    text = table.section([], rows)
    assert "below 0.4000" in " ".join(text.split())
    assert "| lits117 | reference | 1 / 1, 6 / 6 | 0.75 / - | 0.50 / - | 2 / 0, 2 / 4 | 2 / 0, 1 / 3 |" in text
    assert "| cleo | reference | 1 / 1, 6 / 6 | 1.00 / - | 0.50 / - | 2 / 0, 1 / 3 | 1 / 0, 0 / 1 |" in text
    assert "CAM is trained nowhere" not in text
