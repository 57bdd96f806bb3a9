"""The scripts behind the figures: their variants exist, and their oracle boxes are the labels' own."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from fake_network import turned_volume
from synthetic_ct import LIVER, synthetic_ct
from training_cases import QuickLiteMedSam, StubEncoder, write_config

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.datasets.cases import LabelledCase
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.sam.decoding import MaskSettings
from sammix_core.segmentation.model_loading import GUIDANCES
from sammix_core.training import supervised
from sammix_core.training.config import TrainingConfig
from sammix_core.training.settings import ResNetTraining
from sammix_core.volume.axial_order import AxialOrder

pytestmark = pytest.mark.slow

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
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)  # as Python does for a script
        patch.setitem(sys.modules, module.__name__, module)
        spec.loader.exec_module(module)
    return module


def test_every_switch_of_the_ablation_is_a_setting_that_there_is() -> None:
    ablation = script("ablation")
    variants = ablation.one_by_one()
    assert variants["default"] == ablation.DEFAULT
    assert len({json.dumps(one) for one in variants.values()}) == len(variants), "two variants are the same"
    for name, switches in variants.items():
        assert switches.keys() == ablation.SWITCHES.keys()
        assert ablation.name_of(switches) == name
        assert switches["guidance"] in GUIDANCES
        replace(BoxSettings(), **{key: switches[key] for key in ("smooth_mm", "smooth_box_mm")})
        MaskSettings.from_dict({key: switches[key] for key in ("mask_prompt", "second_pass", "choice", "least_cover")})
        ResNetTraining(method=switches["cam"], threshold=switches["threshold"]).check()
    # What is not turned must be what a model does by itself.
    assert ablation.DEFAULT["smooth_mm"] == BoxSettings().smooth_mm
    assert ablation.DEFAULT["choice"] == MaskSettings().choice
    assert ablation.DEFAULT["threshold"] == ResNetTraining().threshold


def test_a_grid_is_all_combinations_once() -> None:
    ablation = script("ablation")
    found = ablation.grid(["guidance", "lora", "mask_prompt"])
    assert len(found) == 8
    assert found["guidance resnet38, lora on, mask_prompt off"] == {
        **ablation.DEFAULT,
        "guidance": "resnet38",
        "lora": True,
        "mask_prompt": False,
    }
    assert set(ablation.grid(["guidance", "cam"])) == {
        "default",
        "guidance resnet38",
        *(f"guidance resnet38, cam {name}" for name in ("hirescam", "layercam", "eigencam")),
    }


def test_a_patient_is_scored_in_every_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = QuickLiteMedSam(torch.device("cpu"))
    quick.network.image_encoder = StubEncoder()
    monkeypatch.setattr(supervised, "LiteMedSam", lambda *_: quick)
    ablation = script("ablation")
    adapters: list[object] = []
    monkeypatch.setattr(ablation, "LiteMedSam", lambda device, adapter, **_: adapters.append(adapter) or quick)
    resnet38 = {"steps": 2, "batch": 2, "width": 0.0625}
    lora = {"steps": 1, "batch": 1}
    few = {"steps": 2, "batch": 2}
    bert = {"ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [3]}
    anna = {"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json"}
    cases = [anna, {"name": "bert", **bert}, {"name": "cleo", **bert}]
    parts = {"head": few, "decoder": {"steps": 0}, "resnet38": resnet38, "lora": lora}
    config = write_config(tmp_path, views=0, cases=cases, **parts)
    trainer = ablation.SupervisedTrainer(TrainingConfig.read(config))
    names = ["default", "guidance resnet38, threshold paper", "lora on", "smooth_box_mm 3.0"]
    rows = list(ablation.rows_of(trainer, "anna", {name: ablation.one_by_one()[name] for name in names}, moved=True))
    both = [(name, boxes) for name in names[:3] for boxes in ("auto", "oracle", "moved")]
    assert [(row["variant"], row["boxes"]) for row in rows] == [*both, (names[3], "auto")]
    assert [row["embeddings"] for row in rows] == ["cached"] * 6 + ["computed"] * 3 + ["cached"]
    assert [adapter is None for adapter in adapters] == [True, True, False, True]
    # The five embeddings of the clean view were there; only the check of the orientation encodes.
    assert rows[6]["slices_encoded"] - rows[0]["slices_encoded"] == 5
    for row in rows:
        assert (row["model"], row["case"], row["slices"]) == ("small/0.1.0", "anna", 5)
        assert row["dice"] is None or 0 <= row["dice"] <= 1
        assert {"guidance", "segmentation"} <= row["seconds"].keys()
        json.dumps(row, allow_nan=False)


def a_row(variant: str, case: str, boxes: str, dice: float, **more: Any) -> dict[str, Any]:
    head = {"model": "liver/2.0.0", "variant": variant, "case": case, "boxes": boxes, "dice": dice}
    return {**head, "hd95_mm": 4.0, "surface_dice_2mm": 0.5, **more}


def test_the_results_page_compares_on_the_same_patients_and_says_what_is_missing() -> None:
    table = script("results_table")
    rows = [
        a_row("default", "anna", "auto", 0.5),  # an older run
        a_row("default", "anna", "auto", 0.9, seconds={"guidance": 10.0, "segmentation": 4.0}, embeddings="cached"),
        a_row("default", "bert", "auto", 0.8, seconds={"guidance": 20.0, "segmentation": 6.0}, embeddings="cached"),
        a_row("lora on", "anna", "auto", 0.92),
        a_row("default", "anna", "oracle", 0.96),
        {**a_row("choice mean", "anna", "auto", 0.1), "model": "liver/1.0.0"},  # another recipe
    ]
    validation = [{"model": "liver/2.0.0", **a_row("", "cleo", "auto", 0.7)}]
    page = table.page(rows, validation, "liver/2.0.0", {"anna", "bert"})
    assert "| default | 2 of 2 | 0.850 |  | 4.0 | 0.500 | 15 + 5 (embeddings cached) |" in page
    assert "| lora on | 1 of 2 | 0.920 | +0.020 (1 better, 0 worse) | 4.0 | 0.500 | - |" in page
    assert "| anna | 0.900 | 4.0 | 0.960 | 4.0 |" in page
    assert "| bert | 0.800 | 4.0 | - | - |" in page
    assert "| liver/2.0.0 | cleo | auto | 0.700 | 4.0 | 0.500 |" in page
    assert 'The variant "lora on" on bert.' in page
    absent = next(line for line in page.splitlines() if line.startswith("- Leave-one-patient-out of"))
    assert "choice mean" in absent
    assert "lora on" not in absent
    assert "SAM ViT-B" in page


def test_without_rows_the_page_says_so() -> None:
    page = script("results_table").page([], [], "liver/2.0.0", {"anna"})
    assert page.count("Not measured yet.") == 5


def test_the_results_page_is_the_one_of_the_result_files() -> None:
    table = script("results_table")
    rows = table.read_rows(BENCHMARKS / "ablation.jsonl")
    validation = table.read_rows(BENCHMARKS / "validation.jsonl")
    model = rows[-1].get("model", table.FIRST_MODEL)
    expected = table.page(
        rows, validation, model, table.training_patients(), table.further_sections(), table.left_out()
    )
    assert table.PAGE.read_text(encoding="utf-8") == expected, "run python benchmarks/results_table.py"


def test_fine_tuning_is_shown_with_its_last_rows_and_what_is_missing() -> None:
    table = script("finetune_table")
    assert "Not measured yet: how long a run takes, a new structure, adapting to one patient." in table.section([])
    time = {"what": "time", "learnt": 7, "held_back": 3, "processor_seconds": 400.0, "cores": 2, "load_average": 1.9}
    figures = [{"group": "check", "case": "cleo", "boxes": "auto", "before": 0.95, "after": 0.93}]
    adapt = {
        **{"what": "adapt", "case": "anna", "label_origin": "person", "learnt": 7, "verdict": "worse"},
        **{"dice": {"held-back slices, automatic boxes": [0.8, 0.9]}, "figures": figures},
        **{"volume_dice_auto": {"before": 0.81, "after": 0.88}, "head_share": 0.25, "decoder_share": 0.75},
    }
    rows = [
        {**time, "cached_embeddings": False, "seconds": 300.0},
        {**time, "cached_embeddings": True, "seconds": 999.0},  # an older run
        {**time, "cached_embeddings": True, "seconds": 200.0},
        adapt,
    ]
    text = table.section(rows)
    assert "| computed | 7 / 3 | 300 | 400 | 2 | 1.9 |" in text
    assert "| cached | 7 / 3 | 200 | 400 | 2 | 1.9 |" in text
    assert "999" not in text
    assert "| held-back slices, automatic boxes | 0.800 | 0.900 |" in text
    assert "| cleo, auto boxes | 0.950 | 0.930 |" in text
    assert "the decoder went 75%, the guidance head 25%." in " ".join(text.split())
    assert "Not measured yet: a new structure." in text


def assert_tight(track: BoxTrack, liver: np.ndarray, slice_axis: str) -> None:
    """`liver` is (k, j, i) on the user's grid."""
    axis = "kji".index(slice_axis)
    filled = np.flatnonzero(liver.any(tuple(one for one in range(3) if one != axis)))
    assert list(track) == filled.tolist()
    for index, (box,) in track.items():
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
    assert_tight(script("oracle").oracle_boxes(volume, stored), stored, order.slice_axis)

    # As the ablation has the label: by canonical slice, from what a case knows.
    case = LabelledCase("a", volume, {k: liver[k] for k in range(1, 6) if liver[k].any()}, (0,))
    label = volume.axial_order.back(case.mask_volume())
    assert_tight(script("oracle").oracle_boxes(volume, label), stored, order.slice_axis)


def test_oracle_boxes_by_part_go_round_each_connected_part() -> None:
    label = np.zeros((3, 40, 50), bool)
    label[:, 5:25, 4:20] = True
    label[1:, 10:16, 30:40] = True
    label[1, 35, 45] = True  # a speck, which no mask would keep
    volume = turned_volume(np.zeros(label.shape, np.int16), AxialOrder((2, 1, 0), (False, False, False)))
    track = script("oracle").oracle_boxes(volume, label, by_part=True)
    large, small = (4, 5, 20, 25), (30, 10, 40, 16)
    assert {k: [(box.part, box.edges) for box in boxes] for k, boxes in track.items()} == {
        0: [(0, large)],
        1: [(0, large), (1, small)],
        2: [(0, large), (1, small)],
    }
    assert {box.source for box in track.every_box} == {BoxSource.EDITED}


def test_moved_boxes_are_a_little_off_and_within_the_slice() -> None:
    oracle = script("oracle")
    exact = BoxTrack((512, 400, 3), boxes=[Box(0, 0, 1, 512, 400), Box(1, 100, 100, 300, 260), Box(2, 5, 5, 6, 6)])
    moved = oracle.moved_boxes(exact)
    assert moved == oracle.moved_boxes(exact)
    assert moved != oracle.moved_boxes(exact, seed=1)
    assert moved.keys() == exact.keys()
    off = np.abs(np.array(moved[1][0].edges) - exact[1][0].edges)
    assert off.max() <= 6
    assert off.any()


@pytest.mark.parametrize("name", ["ablation", "validation"])
def test_result_files_are_rows_of_numbers(name: str) -> None:
    """Each figure in the documentation comes from one of these."""
    rows = [json.loads(line) for line in (BENCHMARKS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows
    for row in rows:
        assert row["boxes"] in ("auto", "oracle", "oracle_parts", "moved")
        assert 0 <= row["dice"] <= 1
        assert row["hd95_mm"] is None or row["hd95_mm"] >= 0
