"""The results page's section on refining slices says what was measured, stage by stage."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def table() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "refiner_table.py"
    spec = importlib.util.spec_from_file_location("refiner_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def liver(stage: int, dice: float) -> dict[str, Any]:
    head = {"target": "liver", "refiner": "r/0.1.0", "case": "anna", "stage": stage}
    return {**head, "dice": dice, "hd95_mm": 2.0, "surface_dice_2mm": 0.9, "seconds": 3.2}


def lesion(number: int, stage: int, dice: float, iou: float) -> dict[str, Any]:
    head = {"target": "lesion", "refiner": "r/0.1.0", "case": "cleo", "way": "grown", "lesion": number}
    return {**head, "voxels": 90, "stage": stage, "dice": dice, "iou": iou}


def test_msam_without_rows_it_says_so(table: ModuleType) -> None:
    assert table.section([]).count("not measured yet") == 2


def test_msam_the_last_row_of_a_stage_counts(table: ModuleType) -> None:
    text = table.section([liver(1, 0.1), liver(0, 0.96), liver(1, 0.97)])
    first, second = (text.index(f"| anna | r/0.1.0 | {stage} |") for stage in (0, 1))
    assert first < second
    assert "| 1 | 0.9700 | 2.00 | 0.9000 | 3 |" in text
    assert "0.1000" not in text


def test_msam_a_lesion_that_needs_no_more_stages_keeps_its_last_figures(table: ModuleType) -> None:
    text = table.section([lesion(1, 0, 0.2, 0.1), lesion(2, 0, 1.0, 1.0), lesion(1, 1, 0.8, 0.67)])
    assert "| cleo | grown | 0 | 2 | 2 / 1 | 0.600, 0.600 |" in text
    assert "| cleo | grown | 1 | 2 | 2 / 2 | 0.900, 0.900 |" in text
    assert "- cleo, lesion 2, grown: 1.000, 1.000" in text
