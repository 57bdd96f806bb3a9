"""The scripts behind the figures: their variants exist, and their oracle boxes are the labels' own."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fake_network import a_fake_model, turned_volume
from synthetic_ct import LIVER, synthetic_ct

from sammix_core.axial_order import AxialOrder
from sammix_core.boxes import BoxSource, BoxTrack
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.sam.masks import MaskSettings
from sammix_core.segmenter import Segmenter
from sammix_core.training.cases import Case

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ORDERS = [
    AxialOrder((2, 1, 0), (False, False, False)),
    AxialOrder((2, 0, 1), (True, False, True)),
    AxialOrder((0, 2, 1), (True, True, False)),
    AxialOrder((1, 2, 0), (False, True, True)),
]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_variant_of_the_ablation_is_a_setting_that_there_is() -> None:
    variants: dict[str, Any] = script("ablation").VARIANTS
    made = {name: (replace(BoxSettings(), **b), MaskSettings.from_dict(m), d) for name, (b, m, d) in variants.items()}
    assert made["default"] == (BoxSettings(), MaskSettings(), True)
    assert len(set(map(repr, made.values()))) == len(made), "two variants are the same"


def assert_tight(track: BoxTrack, liver: np.ndarray, slice_axis: str) -> None:
    """`liver` is (k, j, i) on the user's grid."""
    axis = "kji".index(slice_axis)
    filled = np.flatnonzero(liver.any(tuple(one for one in range(3) if one != axis)))
    assert list(track) == filled.tolist()
    for index, box in track.items():
        plane = np.take(liver, index, axis=axis)
        i_min, j_min, i_max, j_max = box.edges
        assert box.source is BoxSource.EDITED
        assert plane[j_min:j_max, i_min:i_max].sum() == plane.sum()
        for edge in (plane[j_min], plane[j_max - 1], plane[:, i_min], plane[:, i_max - 1]):
            assert edge.any()


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_oracle_boxes_are_tight_however_a_volume_is_stored(order: AxialOrder) -> None:
    axial = synthetic_ct((6, 40, 50))
    liver = abs(axial - LIVER) < 40
    liver[0] = False
    volume = turned_volume(axial, order)
    stored = np.ascontiguousarray(order.back(liver))
    assert_tight(script("validate").oracle_boxes(volume, stored), stored, order.slice_axis)

    session = Segmenter(a_fake_model()).open_session(volume)
    crop = (0, 0, 40, 50)
    case = Case("a", axial, (5.0, 1.6, 1.1), {k: liver[k] for k in range(1, 6) if liver[k].any()}, (0,), (crop, crop))
    assert_tight(script("ablation").oracle_boxes(case, session), stored, order.slice_axis)


@pytest.mark.parametrize("name", ["ablation", "validation"])
def test_result_files_are_rows_of_numbers(name: str) -> None:
    """Each figure in the documentation comes from one of these."""
    rows = [json.loads(line) for line in (BENCHMARKS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows
    for row in rows:
        assert row["boxes"] in ("auto", "oracle")
        assert 0 <= row["dice"] <= 1
        assert row["hd95_mm"] is None or row["hd95_mm"] >= 0
