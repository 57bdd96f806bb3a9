"""`sammix segment --target lesion`: liver and lesions in one labelmap. The segmenter is replaced by one that knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import write_with_itk
from made_results import MadeResult, a_result
from typer.testing import CliRunner

import sammix_core.segmentation.segmenter
from sammix_core.cli.app import app
from sammix_core.volume.volume import Volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

SHAPE = (16, 40, 44)
MIDDLE, OTHER = (8, 20, 15), (8, 20, 31)


def ball(middle: tuple[int, int, int], radius: float) -> np.ndarray:
    offsets = np.indices(SHAPE) - np.array(middle)[:, None, None, None]
    return (offsets**2).sum(0) <= radius**2


def the_liver() -> np.ndarray:
    liver = np.zeros(SHAPE, dtype=np.uint8)
    liver[2:14, 5:35, 4:41] = 1
    return liver


class Knows:
    """A segmenter that has the mask already."""

    target = "liver"

    def load(self, *_: Any, **__: Any) -> Knows:
        return self

    def segment_volume(self, volume: Volume, **_: Any) -> MadeResult:
        result = a_result(volume)
        result.mask, result.target = the_liver(), self.target
        return result


@pytest.fixture
def knows(monkeypatch: pytest.MonkeyPatch) -> Knows:
    made = Knows()
    monkeypatch.setattr(sammix_core.segmentation.segmenter, "Segmenter", made)
    monkeypatch.setattr("sammix_core.model_store.resolve", lambda name: name)
    return made


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    hu = np.where(ball(MIDDLE, 5) | ball(OTHER, 4), 60, 115) + np.random.default_rng(3).normal(0, 8, SHAPE)
    hu[the_liver() == 0] = -80
    hu[:, 0] = -1000
    write_with_itk(tmp_path / "ct.nii.gz", hu.astype(np.int16), (1.0, 1.0, 1.0))
    return tmp_path / "ct.nii.gz"


def run(ct: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["segment", str(ct), "-o", str(ct.parent / "out.nii.gz"), *words])
    return result.exit_code, " ".join(result.output.split())


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.usefixtures("knows")
def test_a_click_gives_one_lesion_in_the_liver(ct: Path) -> None:
    table = ct.parent / "table.json"
    code, output = run(ct, "--target", "lesion", "--click", "15,20,8", "--lesion-report", str(table))
    assert code == 0, output
    labels = read_labelmap(ct.parent / "out.nii.gz").array
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert dice(labels == 2, ball(MIDDLE, 5)) > 0.9
    np.testing.assert_array_equal(labels > 0, the_liver() > 0)
    (lesion,) = json.loads(table.read_text())["lesions"]
    assert lesion["mean_hu"] == pytest.approx(60, abs=6)
    assert lesion["longest_axial_mm"] == pytest.approx(11, abs=1.5)
    assert "Lesion 1" in output


@pytest.mark.usefixtures("knows")
def test_candidates_are_all_that_is_darker(ct: Path) -> None:
    code, output = run(ct, "--target", "lesion", "--candidates")
    assert code == 0, output
    labels = read_labelmap(ct.parent / "out.nii.gz").array
    assert labels.max() == 3
    assert dice(labels == 2, ball(MIDDLE, 5)) > 0.85
    assert dice(labels == 3, ball(OTHER, 4)) > 0.85


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--target", "lesion"), "Which lesions?"),
        (("--click", "15,20,8"), "go with --target lesion"),
        (("--target", "lesion", "--click", "15,20"), "--click 15,20 is no voxel"),
        (("--target", "lesion", "--click", "9,9,9"), "nothing that stands out"),
        (("--target", "lesion", "--click", "1,1,1"), "lies outside the liver"),
        (("--target", "lesion", "--candidates", "--lesion-report", "t.txt"), "--lesion-report t.txt has a format"),
    ],
)
@pytest.mark.usefixtures("knows")
def test_what_is_wrong_is_said_and_nothing_written(ct: Path, words: tuple[str, ...], sentence: str) -> None:
    code, output = run(ct, *words)
    assert code == 2
    assert sentence in output
    assert not (ct.parent / "out.nii.gz").exists()


def test_lesions_of_another_organ_are_refused(ct: Path, knows: Knows) -> None:
    knows.target = "spleen"
    code, output = run(ct, "--target", "lesion", "--candidates")
    assert code == 2
    assert "this model segments the spleen" in output
