"""DICOM results of `sammix segment`, and DICOM references of `evaluate`, `lesions` and case folders.

The segmenter is replaced by one that knows the liver.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_checks import dicom_errors
from dicom_files import write_series
from dicom_masks import write_rtstruct
from image_files import write_with_itk
from made_results import MadeResult, a_result
from typer.testing import CliRunner

import sammix_core.segmentation.segmenter
from sammix_core.cli.app import app
from sammix_core.datasets.case_folder import read_cases
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

SHAPE = (12, 40, 44)
MIDDLE = (6, 20, 15)
IDENTIFIERS = {
    "PatientName": "Hausmann^Grete",
    "PatientID": "MRN-907341",
    "PatientBirthDate": "19531224",
    "AccessionNumber": "ACC-55812",
}
STUDY = {"PatientSex": "F", "StudyDate": "20240301", "StudyTime": "101500", "StudyID": "S9", "SeriesNumber": 4}


def the_liver() -> np.ndarray:
    liver = np.zeros(SHAPE, dtype=np.uint8)
    liver[2:10, 5:35, 4:41] = 1
    return liver


def a_lesion() -> np.ndarray:
    offsets = np.indices(SHAPE) - np.array(MIDDLE)[:, None, None, None]
    return (offsets**2).sum(0) <= 25


class Knows:
    """A segmenter that has the mask already."""

    loaded = False

    def load(self, *_: Any, **__: Any) -> Knows:
        self.loaded = True
        return self

    def segment_volume(self, volume: Volume, uncertainty: bool, **_: Any) -> MadeResult:
        result = a_result(volume, the_liver())
        result.uncertainty = result.mask * np.uint8(37) if uncertainty else None
        return result


@pytest.fixture
def knows(monkeypatch: pytest.MonkeyPatch) -> Knows:
    made = Knows()
    monkeypatch.setattr(sammix_core.segmentation.segmenter, "Segmenter", made)
    monkeypatch.setattr("sammix_core.model_store.resolve", lambda name: name)
    return made


def values() -> np.ndarray:
    hu = np.where(a_lesion(), 60, 115) + np.random.default_rng(3).normal(0, 8, SHAPE)
    hu[the_liver() == 0] = -80
    hu[:, 0] = -1000
    return hu.astype(np.int16)


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    write_series(tmp_path / "ct", values(), positions=np.arange(SHAPE[0]) * 1.0, **IDENTIFIERS, **STUDY)
    return tmp_path / "ct"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, " ".join(result.output.split())


def test_mask_map_and_report_of_the_study(knows: Knows, ct: Path, out: Path) -> None:
    seg, uncertainty, sr = out / "liver.seg.dcm", out / "map.dcm", out / "liver.sr.dcm"
    code, output = run(
        "segment", ct, "-o", seg, "--uncertainty", uncertainty, "--sr", sr, "--boxes-out", out / "b.json"
    )
    assert code == 0, output
    assert str(sr) in output
    run("segment", ct, "-o", out / "liver.nii.gz", "-q")
    labels = read_labelmap(out / "liver.nii.gz")
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in sorted(ct.iterdir())]
    uids.sort(key=lambda uid: int(uid.rpartition(".")[2]))
    read = hd.seg.segread(seg).get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(read, labels.array)
    assert pydicom.dcmread(uncertainty).pixel_array.max() == 37
    (group,) = hd.sr.srread(sr).content.get_volumetric_roi_measurement_groups()
    volume, mean = (float(one.value) for one in group.get_measurements())
    ct_volume = read_volume(ct)
    assert volume == pytest.approx(ct_volume.mask_volume_ml(the_liver()), abs=1e-3)
    assert mean == pytest.approx(ct_volume.array[the_liver() > 0].mean(), abs=1e-2)
    assert pydicom.dcmread(seg).SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert dicom_errors(seg, uncertainty, sr) == []


def test_liver_and_lesions_are_segments_with_their_figures(knows: Knows, ct: Path, out: Path) -> None:
    table = out / "table.json"
    lesion = ("--target", "lesion", "--click", "15,20,6", "--lesion-report", table)
    code, output = run("segment", ct, "-o", out / "seg.dcm", "--sr", out / "sr.dcm", *lesion)
    assert code == 0, output
    assert run("segment", ct, "-o", out / "liver.nii.gz", *lesion[:-2])[0] == 0
    seg = hd.seg.segread(out / "seg.dcm")
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["liver", "Lesion 1"]
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    labels = read_labelmap(out / "liver.nii.gz").array
    np.testing.assert_array_equal(read_labelmap(out / "seg.dcm").array, labels[labels.any((1, 2))])
    (measured,) = json.loads(table.read_text())["lesions"]
    groups = hd.sr.srread(out / "sr.dcm").content.get_volumetric_roi_measurement_groups()
    figures = [float(one.value) for one in groups[1].get_measurements()]
    expected = [measured[key] for key in ("volume_ml", "mean_hu", "longest_axial_mm")]
    np.testing.assert_allclose(figures, expected, atol=0.01)
    whole = hd.sr.srread(out / "sr.dcm").content.get_image_measurement_groups()[-1]
    parts = sum(float(group.get_measurements()[0].value) for group in groups)
    assert float(whole.get_measurements()[0].value) == pytest.approx(parts, abs=0.01)
    assert dicom_errors(out / "seg.dcm", out / "sr.dcm") == []


def test_the_patient_is_in_dicom_results_alone(knows: Knows, ct: Path, out: Path) -> None:
    written = {"--boxes-out": "b.json", "--preview": "p.png", "--report": "r.json", "--uncertainty": "u.dcm"}
    options = [word for option, name in written.items() for word in (option, out / name)]
    code, output = run("--verbose", "segment", ct, "-o", out / "liver.dcm", "--sr", out / "sr.dcm", *options)
    assert code == 0, output
    for path in out.iterdir():
        found = [value for value in IDENTIFIERS.values() if value.encode() in path.read_bytes()]
        assert found == (list(IDENTIFIERS.values()) if path.suffix == ".dcm" else []), path.name
    assert not any(value in output for value in IDENTIFIERS.values())


@pytest.mark.parametrize("option", ["-o", "--uncertainty"])
def test_no_dicom_is_refused_before_any_work(knows: Knows, out: Path, tmp_path: Path, option: str) -> None:
    nifti = write_with_itk(tmp_path / "ct.nii.gz", values(), (1.0, 1.0, 1.0))
    mask = () if option == "-o" else ("-o", out / "liver.nii.gz")
    code, output = run("segment", nifti, *mask, option, out / "result.dcm")
    assert code == 2
    assert "The input is no DICOM" in output
    assert not knows.loaded
    assert list(out.iterdir()) == []


def test_a_series_without_uids_is_refused_before_any_work(knows: Knows, out: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "ct", values(), positions=np.arange(SHAPE[0]), StudyInstanceUID="")
    code, output = run("segment", tmp_path / "ct", "-o", out / "liver.dcm")
    assert (code, knows.loaded, list(out.iterdir())) == (2, False, [])
    assert "no Study Instance UID" in output


def test_headers_that_highdicom_refuses_are_said_before_any_work(
    knows: Knows, ct: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise ValueError("Hausmann^Grete is no name")

    monkeypatch.setattr(hd.seg, "Segmentation", refuses)
    code, output = run("segment", ct, "-o", out / "liver.dcm")
    assert (code, knows.loaded, list(out.iterdir())) == (2, False, [])
    assert "cannot carry (ValueError); write a .nii.gz" in output
    assert "Hausmann" not in output


def test_a_report_needs_a_dicom_mask(knows: Knows, ct: Path, out: Path) -> None:
    code, output = run("segment", ct, "-o", out / "liver.nii.gz", "--sr", out / "sr.dcm")
    assert (code, knows.loaded, list(out.iterdir())) == (2, False, [])
    assert "--sr goes with an --output that ends with .dcm" in output


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_leaves_no_half_file(
    knows: Knows, ct: Path, out: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    (out / "liver.dcm").write_bytes(b"the old mask")

    def fails(dataset: pydicom.Dataset, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(reason, "No space left on device" if reason == errno.ENOSPC else "Permission denied", str(path))

    monkeypatch.setattr(pydicom.Dataset, "save_as", fails)
    code, output = run("segment", ct, "-o", out / "liver.dcm", "--sr", out / "sr.dcm")
    assert code == 2
    assert "could not be written" in output
    assert "Traceback" not in output
    assert [(path.name, path.read_bytes()) for path in out.iterdir()] == [("liver.dcm", b"the old mask")]


def test_without_highdicom_one_sentence(knows: Knows, ct: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    code, output = run("segment", ct, "-o", out / "liver.dcm")
    assert (code, knows.loaded) == (2, False)
    assert "need the Python package highdicom, which is not installed" in output


def test_dicom_references_of_the_other_commands(knows: Knows, ct: Path, out: Path, tmp_path: Path) -> None:
    """A SEG and an RTSTRUCT as reference, as mask of lesions, and as labels of a case."""
    lesion = ("--target", "lesion", "--click", "15,20,6")
    assert run("segment", ct, "-o", out / "seg.dcm", *lesion)[0] == 0
    assert run("segment", ct, "-o", out / "liver.nii.gz", *lesion)[0] == 0
    for prediction, label in ((out / "liver.nii.gz", "2"), (out / "seg.dcm", "lesion 1")):
        code, output = run("evaluate", prediction, out / "seg.dcm", "--label", label, "--json")
        scores = json.loads(output)
        assert (code, scores["dice"], scores["reference_voxels"] < 1000) == (0, 1.0, True)
    code, output = run("evaluate", out / "liver.nii.gz", out / "seg.dcm", "--label", "cyst")
    assert (code, output) == (2, "seg.dcm has no segment named cyst; it has 1 (liver), 2 (Lesion 1).")

    code, output = run("lesions", ct, "--mask", out / "seg.dcm", "--label", "Lesion 1", "-o", out / "lesions.nii.gz")
    assert code == 0, output
    labels, measured = read_labelmap(out / "liver.nii.gz").array, read_labelmap(out / "lesions.nii.gz").array
    np.testing.assert_array_equal(measured == 2, labels == 2)

    corners = np.array([(-100.35, -120.4), (-69.55, -120.4), (-69.55, -88.4), (-100.35, -88.4)])
    contours = [np.column_stack([corners, np.full(4, float(k))]) for k in range(3, 6)]
    (tmp_path / "cases").mkdir()
    ct.rename(tmp_path / "cases" / "anna_ct")
    rtstruct = {"BODY": [np.column_stack([corners, np.zeros(4)])], "Liver": contours, "Heart": contours[:1]}
    write_rtstruct(tmp_path / "cases" / "anna_label.dcm", rtstruct)
    (case,) = read_cases(tmp_path / "cases", "liver", sparse=False)
    assert sorted(case.masks) == [3, 4, 5]
    assert all(mask[:40, :44].all() for mask in case.masks.values())
    masks = ("--mask", tmp_path / "cases" / "anna_label.dcm", "--label", "liver", "--liver", out / "seg.dcm")
    one = ("--liver-label", "1", "-o", out / "one.nii.gz")
    code, output = run("lesions", tmp_path / "cases" / "anna_ct", *masks, *one)
    assert code == 0, output
    expected = (labels == 1) & (np.arange(SHAPE[0])[:, None, None] // 3 == 1)
    np.testing.assert_array_equal(read_labelmap(out / "one.nii.gz").array > 1, expected)
