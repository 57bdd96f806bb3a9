"""`sammix benchmark`: what it measures and how it reports it, with networks that need no weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from fake_network import a_fake_model
from synthetic_ct import synthetic_ct
from typer.testing import CliRunner

from sammix_core.cli import app as cli
from sammix_core.evaluation.speed import growth, quick
from sammix_core.evaluation.speed.synthetic_volume import synthetic_volume
from sammix_core.segmentation.segmenter import Segmenter

pytestmark = pytest.mark.slow

KEYS = {
    "whole_volume_speedup",
    "per_slice_speedup",
    "dice_vs_full_precision",
    "edit_ms_p95",
    "decoder_torch_ms",
    "peak_memory_gb",
}


class FakeReference:
    """Remembers what it was asked."""

    asked: list[tuple[tuple[int, ...], Any]]

    def __init__(self) -> None:
        type(self).asked = []

    def segment(self, hu: np.ndarray, box: Any, spec: Any) -> np.ndarray:
        self.asked.append((hu.shape, box))
        return np.zeros((256, 256), np.uint8)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Networks without weights; the arguments that models were loaded with."""
    loaded: list[dict[str, Any]] = []
    monkeypatch.setattr(Segmenter, "load", lambda name, **options: loaded.append(options) or Segmenter(a_fake_model()))
    monkeypatch.setattr(quick, "Reference", FakeReference)
    monkeypatch.setattr(quick, "PAIRS", 2)
    monkeypatch.setattr(quick, "EDITS", 4)
    return loaded


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    image = sitk.GetImageFromArray(synthetic_ct((14, 75, 100)))
    image.SetSpacing((1.1, 1.6, 1.5))
    image.SetOrigin((-55.0, -60.0, -14.0))  # an origin of zeros would count as no stated orientation
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    return tmp_path / "ct.nii.gz"


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, ["benchmark", *(str(word) for word in words)])
    return result.exit_code, result.stdout, result.stderr


def test_figures_are_written_and_shown(ct: Path, tmp_path: Path, fakes: list[dict[str, Any]]) -> None:
    code, stdout, stderr = run("--quick", "--volume", ct, "--against", "litemedsam", "--json", tmp_path / "out.json")
    assert code == 0, stderr
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures.keys() >= KEYS
    assert (figures["schema"], figures["volume"], figures["slices"]) == ("sammix-benchmark/1", "given", 14)
    assert figures["slice_mm"] == pytest.approx(1.5)
    assert figures["slices_encoded"] < 14, "thin slices are spared"
    assert 0.9 < figures["dice_vs_full_precision"] <= 1.0
    assert figures["decoder_torch_ms"] is None, "the stand-in has no decoder of torch's"
    assert len(figures["whole_volume_seconds_each"]) == quick.WHOLE_RUNS
    assert "ct.nii" not in json.dumps(figures)
    assert [options["precision"] for options in fakes] == ["default", "float32"]
    assert "against" in stdout
    assert str(tmp_path / "out.json") in stdout


def test_the_reference_gets_every_slice_once_with_our_boxes(ct: Path, tmp_path: Path) -> None:
    assert run("--quick", "--volume", ct, "--json", tmp_path / "out.json", "--every-slice", "--quiet")[0] == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["dice_vs_full_precision"] == 1.0
    warm_up, *whole = FakeReference.asked[: -quick.PAIRS]
    assert warm_up[1] is None
    assert len(whole) == figures["reference_slices_timed"] == 14
    boxes = [box for _, box in whole if box is not None]
    assert boxes
    assert all(0 <= box[0] < box[2] <= 256 and 0 <= box[1] < box[3] <= 256 for box in boxes)


def test_of_long_volumes_the_reference_gets_some_and_its_time_is_that_of_all(
    ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "MAX_REFERENCE_SLICES", 7)
    monkeypatch.setattr(FakeReference, "segment", lambda *_: _slept())
    assert run("--quick", "--volume", ct, "--json", tmp_path / "out.json", "--quiet")[0] == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["reference_slices_timed"] == 7
    assert figures["reference_seconds"] >= 14 * 0.01
    assert figures["whole_volume_speedup"] == pytest.approx(
        figures["reference_seconds"] / figures["whole_volume_seconds"]
    )


def _slept() -> None:
    import time

    time.sleep(0.01)


def test_bad_input_is_one_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    code, _, stderr = run("--volume", tmp_path / "none.nii", "--json", tmp_path / "out.json")
    assert code == 2
    assert "none.nii" in stderr
    assert not (tmp_path / "out.json").exists()
    assert run("--json", tmp_path / "out.txt")[0] == 2
    assert run("--against", "sam")[0] == 2


def test_growth_has_slopes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SLICES", (5, 10))
    monkeypatch.setattr(growth, "SIZES", (32, 64))
    monkeypatch.setattr(growth, "BATCHES", (1, 2))
    monkeypatch.setattr(growth, "THREADS", (1, 2))
    figures = growth.growth("liver", "cpu", "default", quick.EVERY_SLICE)
    few, many = (row["encoded"] for row in figures["slices"]["rows"])
    assert many - few == 5, "what is not encoded slice by slice does not grow"
    assert [row["size"] for row in figures["in_plane"]] == [32, 64]
    assert math.isfinite(figures["slices"]["seconds_each"])
    assert [row["size"] for row in figures["threads"]] == [1, 2]


def test_a_made_volume_holds_an_organ_and_air() -> None:
    volume = synthetic_volume((20, 64, 64), 2.0)
    assert volume.shape_kji == (20, 64, 64)
    assert volume.spacing == pytest.approx((400 / 64, 400 / 64, 2.0))
    assert np.median(volume.array[10][volume.array[10] > 50]) == pytest.approx(110, abs=5)
    assert volume.array[0, 0, 0] < -900
    assert (volume.array[0] < 0).all()
