"""The report says what was done, in plain JSON, and nothing about the patient."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_results import a_result, a_volume

from sammix_core.evaluation import report
from sammix_core.evaluation.report import build_report, write_report
from sammix_core.segmentation.review import SliceReview

DOCUMENTED = Path(__file__).parents[3] / "docs" / "formats" / "report.md"


def test_the_report_holds_what_the_result_says(tmp_path: Path) -> None:
    volume = a_volume()
    result = a_result(volume, edited=(6,))
    document = build_report(result, volume, "/scans/Doe^Jane/ct.nii.gz", seed=7, more_seconds={"total": 3.5})
    write_report(document, tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert read == document
    assert read["schema"] == "sammix-report/1"
    assert read["input"] == {
        "name": "ct.nii.gz",
        "shape": [80, 60, 12],
        "spacing_mm": [1.0, 2.0, 5.0],
        "slice_axis": "k",
    }
    assert (read["slices"], read["slices_encoded"], read["seed"]) == (12, 12, 7)
    assert read["seconds"] == {"guidance": 1.25, "total": 3.5}
    assert read["liver_volume_ml"] == pytest.approx(result.mask.sum() * 10 / 1000)
    assert read["liver_volume_note"] is None
    assert read["slices_with_liver"] == int(result.mask.any(axis=(1, 2)).sum()) > 0
    entry = read["per_slice"][6]
    assert entry["slice_index"] == 6
    assert entry["area_px"] == int(result.mask[6].sum())
    assert (entry["agreement"], entry["cam_agreement"]) == (0.92, 0.85)
    assert [(box["source"], box["part"]) for box in entry["boxes"]] == [("edited", 0)]
    assert [entry["boxes"][0][edge] for edge in ("i_min", "j_min", "i_max", "j_max")] == list(result.boxes[6][0].edges)
    assert read["per_slice"][0] == {
        "slice_index": 0,
        "probability": 0.02,
        "score": None,
        "mask_scores": [],
        "agreement": None,
        "cam_agreement": None,
        "area_px": 0,
        "expected_wrong_px": None,
        "uncertainty": None,
        "reasons": [],
        "boxes": [],
    }


def test_the_review_list_and_its_reasons_are_in_the_report() -> None:
    volume = a_volume()
    result = a_result(volume)
    result.reviews = [SliceReview(entry.slice_index, 0.0, ()) for entry in result.slices]
    result.reviews[5] = SliceReview(5, 0.25, ("part of it may be missing",), 40.4, worth_it=True)
    result.reviews[6] = SliceReview(6, 0.5, (), 80.0, worth_it=True)
    document = build_report(result, volume, "ct.nii", seed=0)
    assert document["review"] == [6, 5]
    entry = document["per_slice"][5]
    assert (entry["expected_wrong_px"], entry["uncertainty"]) == (40, 0.25)
    assert entry["reasons"] == ["part of it may be missing"]


def test_no_folder_of_the_input_gets_into_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "Doe^Jane 1950-01-01" / "series"
    folder.mkdir(parents=True)
    volume = a_volume()
    for name in (folder, f"{folder}/", folder / "ct.nrrd"):
        text = report.to_text(build_report(a_result(volume), volume, str(name), seed=0))
        assert "Doe" not in text
        assert str(tmp_path) not in text


def test_the_folder_one_stands_in_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    monkeypatch.chdir(tmp_path / "series")
    assert report.base_name(".") == "series"


def test_without_spacing_volume_and_spacing_are_null_and_said() -> None:
    volume = a_volume(spacing_known=False)
    document = build_report(a_result(volume), volume, "ct.nii", seed=0)
    assert document["liver_volume_ml"] is None
    assert document["liver_volume_note"] == "spacing unknown"
    assert document["input"]["spacing_mm"] is None


def test_an_empty_mask_has_a_volume_of_zero() -> None:
    volume = a_volume()
    document = build_report(a_result(volume, np.zeros(volume.array.shape)), volume, "ct.nii", seed=0)
    assert (document["liver_volume_ml"], document["slices_with_liver"]) == (0.0, 0)


def test_numbers_of_numpy_and_numbers_that_are_none_become_plain_json() -> None:
    volume = a_volume()
    result = a_result(volume)
    entry = result.slices[6]
    unscored = replace(entry.scores, score=math.nan)
    result.slices[6] = replace(entry, probability=np.float32(0.5), scores=unscored, area_px=np.int64(3))
    written = json.loads(report.to_text(build_report(result, volume, "ct.nii", seed=0)))["per_slice"][6]
    assert (written["probability"], written["score"], written["area_px"]) == (0.5, None, 3)


def test_each_note_comes_once() -> None:
    assert report.merged_notes(("a", "b"), ["b", "c"]) == ["a", "b", "c"]


def test_the_text_has_one_slice_a_line() -> None:
    volume = a_volume((40, 20, 20))
    text = report.to_text(build_report(a_result(volume), volume, "ct.nii", seed=0))
    assert sum('"slice_index"' in line for line in text.splitlines()) == 40
    document = json.loads(text)
    document["per_slice"] = []
    assert json.loads(report.to_text(document)) == document


def test_versions_name_what_can_change_a_mask() -> None:
    found = report.versions()
    assert {"sammix", "python", "numpy", "torch", "SimpleITK"} <= found.keys()


def test_the_document_of_the_format_names_every_key() -> None:
    text = DOCUMENTED.read_text()
    example = json.loads(text.split("```json")[1].split("```")[0])
    volume = a_volume()
    document = build_report(a_result(volume), volume, "ct.nii", seed=0)
    assert example.keys() == document.keys()
    assert example["input"].keys() == document["input"].keys()
    assert example["per_slice"][1].keys() == document["per_slice"][6].keys()
    assert example["per_slice"][1]["boxes"][0].keys() == document["per_slice"][6]["boxes"][0].keys()
    for key in (*document, *document["per_slice"][0]):
        assert f"`{key}`" in text or f"`{key}." in text
