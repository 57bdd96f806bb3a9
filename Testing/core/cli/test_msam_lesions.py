"""`sammix lesions` end to end: from a mask or clicks to a labelmap, a table and sentences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import write_segmentation, write_with_itk
from small_msam import BALL_KJI, ball, write_msam_config
from typer.testing import CliRunner

from sammix_core.cli.app import app
from sammix_core.lesions.segments import lesion_segment
from sammix_core.model_store import ModelFolder
from sammix_core.training.run import train_from_config
from sammix_core.volume_io.labelmap_reading import read_labelmap


@pytest.fixture
def case(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    write_msam_config(tmp_path)
    liver = np.zeros(ball().shape, np.uint8)
    liver[4:20, 3:17, 6:23] = 1
    write_with_itk(tmp_path / "liver.nii.gz", liver, (1.0, 1.0, 1.0))
    return tmp_path


def run(case: Path, *words: str) -> tuple[int, str]:
    given = [str(case / "data" / "ct.nii.gz"), "-o", str(case / "out.nii.gz"), *words]
    result = CliRunner().invoke(app, ["lesions", *given])
    return result.exit_code, result.output


def test_a_mask_is_taken_apart_and_measured(case: Path) -> None:
    mask, table = str(case / "data" / "mask.nii.gz"), case / "table.json"
    code, output = run(case, "--mask", mask, "--liver", str(case / "liver.nii.gz"), "--report", str(table))
    assert code == 0, output
    labels = read_labelmap(case / "out.nii.gz").array
    assert (labels == 2).sum() == ball().sum()
    np.testing.assert_array_equal(labels == 2, ball())
    assert (labels == 1).sum() == 16 * 14 * 17 - ball().sum()
    (lesion,) = json.loads(table.read_text())["lesions"]
    assert lesion["name"] == "Lesion 1"
    assert lesion["volume_ml"] == pytest.approx(ball().sum() / 1000)
    assert lesion["longest_axial_mm"] == pytest.approx(9.0, abs=0.1), (
        "a ball of radius 4, and half a voxel on each side"
    )
    assert lesion["measurable"] is False
    assert "Lesion 1" in output
    assert "9.0 mm" in output


def test_a_mask_is_a_segment_by_its_name(case: Path) -> None:
    everything = np.ones(ball().shape, np.uint8)
    segments = [("liver", 0, 1), ("tumour", 1, 1)]
    mask = write_segmentation(case / "a.seg.nrrd", [everything, ball() * 1], segments, spacing=(1.0, 1.0, 1.0))
    given = ("--mask", str(mask), "--liver", str(case / "liver.nii.gz"))
    code, output = run(case, *given, "--label", "vein")
    assert code == 2
    assert "no segment named vein; it has 1 (liver), 2 (tumour)." in " ".join(output.split())
    code, output = run(case, *given, "--label", "tumour")
    assert code == 0, output
    np.testing.assert_array_equal(read_labelmap(case / "out.nii.gz").array == 2, ball())


def test_what_lies_outside_the_liver_is_no_lesion_of_it(case: Path) -> None:
    write_with_itk(case / "none.nii.gz", np.zeros(ball().shape, np.uint8), (1.0, 1.0, 1.0))
    code, output = run(case, "--mask", str(case / "data" / "mask.nii.gz"), "--liver", str(case / "none.nii.gz"))
    assert code == 0
    assert "No lesion was found" in output
    assert read_labelmap(case / "out.nii.gz").array.max() == 0


def test_a_segmentation_names_each_lesion_with_snomed(case: Path) -> None:
    given = [str(case / "data" / "ct.nii.gz"), "-o", str(case / "out.seg.nrrd"), "--quiet"]
    mask, liver = str(case / "data" / "mask.nii.gz"), str(case / "liver.nii.gz")
    assert CliRunner().invoke(app, ["lesions", *given, "--mask", mask, "--liver", liver]).exit_code == 0
    header = (case / "out.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "Segment0_Name:=liver" in header
    assert "Segment1_Name:=Lesion 1" in header
    assert "Segment1_LabelValue:=2" in header
    assert "SCT^52988006^Lesion" in header
    assert "SCT^10200004^Liver~^^|" in header
    assert lesion_segment(2).color != lesion_segment(3).color


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    torch.set_num_threads(1)
    changes = {"steps": 90, "learning_rate": 4e-3, "decoder_rate": 4e-3, "flips": False, "refining_stages": 3}
    return train_from_config(write_msam_config(tmp_path_factory.mktemp("msam"), **changes))


def test_a_click_begins_a_lesion(case: Path, model: ModelFolder) -> None:
    k, j, i = BALL_KJI
    code, output = run(case, "--click", f"{i},{j},{k}", "--model", str(model.path), "--device", "cpu", "--refine", "3")
    assert code == 0, output
    labels = read_labelmap(case / "out.nii.gz").array
    assert labels[k, j, i] == 2
    assert 2 * ((labels == 2) & ball()).sum() / ((labels == 2).sum() + ball().sum()) > 0.8


def test_candidates_are_looked_for_in_the_liver(case: Path) -> None:
    code, output = run(case, "--candidates", "--liver", str(case / "liver.nii.gz"))
    assert code == 0, output
    labels = read_labelmap(case / "out.nii.gz").array
    assert 2 * ((labels == 2) & ball()).sum() / ((labels == 2).sum() + ball().sum()) > 0.85


def test_a_click_without_a_model_grows_a_lesion(case: Path) -> None:
    k, j, i = BALL_KJI
    code, output = run(case, "--click", f"{i},{j},{k}", "--liver", str(case / "liver.nii.gz"))
    assert code == 0, output
    labels = read_labelmap(case / "out.nii.gz").array
    assert 2 * ((labels == 2) & ball()).sum() / ((labels == 2).sum() + ball().sum()) > 0.9
    assert "Lesion 1" in output
    beside = f"{i + 4},{j},{k}"
    assert run(case, "--click", f"{i},{j},{k}", "--not", beside, "--liver", str(case / "liver.nii.gz"))[0] == 0
    less = read_labelmap(case / "out.nii.gz").array
    assert less[k, j, i + 4] != 2 == less[k, j, i]
    assert 0 < (less == 2).sum() < (labels == 2).sum()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "There are no lesions yet"),
        (("--click", "3,4,5"), "name the liver's mask with --liver"),
        (("--click", "1,1,1", "--liver", "LIVER"), "The click 1,1,1 lies outside the liver"),
        (("--click", "99,1,1", "--liver", "LIVER"), "lies outside the CT of 24 x 20 x 22"),
        (("--click", "8,5,6", "--liver", "LIVER"), "shows nothing that stands out"),
        (("--mask", "MASK", "--not", "3,4,5"), "--not goes with --click"),
        (("--click", "3,4,5", "--not", "3,4"), "--not 3,4 is no voxel"),
        (("--candidates",), "name its mask with --liver"),
        (("--click", "3,4"), "--click 3,4 is no voxel"),
        (("--mask", "absent.nii.gz"), "absent.nii.gz does not exist"),
        (("--mask", "OTHER"), "different grids"),
        (("--mask", "MASK", "--model", "liver", "--refine", "1"), "is no M-SAM"),
        (("--mask", "MASK", "--report", "table.txt"), "--report table.txt has a format"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(case: Path, words: tuple[str, ...], sentence: str) -> None:
    write_with_itk(case / "other.nii.gz", np.ones((4, 5, 6), np.uint8), (1.0, 1.0, 1.0))
    places = {"MASK": str(case / "data" / "mask.nii.gz"), "OTHER": str(case / "other.nii.gz")}
    places["LIVER"] = str(case / "liver.nii.gz")
    code, output = run(case, *(places.get(word, word) for word in words))
    assert code == 2
    assert sentence in " ".join(output.split())
    assert not (case / "out.nii.gz").exists()
