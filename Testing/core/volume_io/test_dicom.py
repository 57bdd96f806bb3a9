"""DICOM in: order, geometry, choice of the series, oddities that are said, and refusals."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import (
    MR_IMAGE,
    PATIENT,
    SPACING_COLS,
    SPACING_ROWS,
    write_colour,
    write_enhanced,
    write_series,
)
from image_files import rotation, truncate, write_nifti
from real_data import real_data
from refusals import refusal_of
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import dicom_voxels, read_volume

CT = np.clip(synthetic_ct(), -1024, 3071)


def _image_of_itk(folder: Path) -> sitk.Image:
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def _geometry_of_itk(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    image = _image_of_itk(folder)
    return image.GetSpacing(), image.GetOrigin(), image.GetDirection()


def _geometry(volume: Volume) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    return volume.spacing, volume.origin, tuple(volume.direction.ravel())


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (12.0, -7.0, 31.0), (90.0, 0.0, 0.0), (0.0, 180.0, 0.0)])
def test_numbers_and_geometry_are_those_of_simpleitk(tmp_path: Path, turn: tuple[float, float, float]) -> None:
    axes = rotation(turn)
    positions = np.array([-100.3, -120.7, 33.1]) + np.arange(len(CT))[:, np.newaxis] * 2.5 * axes[:, 2]
    write_series(tmp_path, CT, positions=positions, orientation=tuple(axes[:, :2].T.ravel()))
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT)
    assert volume.array.dtype == np.int16
    assert _geometry(volume) == _geometry_of_itk(tmp_path)
    assert volume.spacing == pytest.approx((SPACING_COLS, SPACING_ROWS, 2.5), abs=1e-6)
    np.testing.assert_allclose(volume.direction, axes, atol=1e-8)
    assert volume.spacing_known
    assert volume.notes == ()
    assert volume.slice_positions_mm is None


def test_slices_are_ordered_by_their_place_and_not_by_name(tmp_path: Path) -> None:
    # Acquired from head to feet, and named at random.
    write_series(tmp_path, CT[::-1], positions=np.arange(len(CT))[::-1] * 3.0)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT)
    assert volume.spacing[2] == 3.0
    assert volume.origin[2] == 0.0


def test_one_file_stands_for_its_series(tmp_path: Path) -> None:
    paths = write_series(tmp_path, CT)
    for k, path in enumerate(write_series(tmp_path / "x", CT + 5, uid="1.2.3.4002")):
        path.rename(tmp_path / f"other{k}")
    np.testing.assert_array_equal(read_volume(paths[4]).array, CT)
    np.testing.assert_array_equal(read_volume(tmp_path / "other3").array, CT + 5)
    np.testing.assert_array_equal(read_volume(paths[4], series="4002").array, CT + 5)


def test_nested_folders_and_other_files(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a" / "b", CT)
    (tmp_path / "c").mkdir()
    for path in paths[:4]:
        shutil.move(path, tmp_path / "c" / f"{path.name}.dcm")
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "a" / ".hidden").write_bytes(b"\0" * 200)
    np.testing.assert_array_equal(read_volume(tmp_path).array, CT)


def test_a_file_without_a_preamble_is_dicom_too(tmp_path: Path) -> None:
    for path in write_series(tmp_path, CT):
        header = pydicom.dcmread(path)
        header.remove_private_tags()
        del header.file_meta
        header.preamble = None
        pydicom.dcmwrite(path, header, enforce_file_format=False, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_volume(tmp_path).array, CT)


def test_copies_of_an_image_are_read_once(tmp_path: Path) -> None:
    write_series(tmp_path / "a", CT)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    np.testing.assert_array_equal(read_volume(tmp_path).array, CT)


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    paths = write_series(tmp_path, CT)
    header = pydicom.dcmread(paths[3])
    header.RescaleSlope, header.RescaleIntercept = 2, -1000
    header.save_as(paths[3])
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array[3], (CT[3] + 1024) * 2 - 1000)
    np.testing.assert_array_equal(volume.array[4], CT[4])


def test_a_fractional_slope_makes_floats(tmp_path: Path) -> None:
    write_series(tmp_path, CT, RescaleSlope=0.5)
    volume = read_volume(tmp_path, values_are_hu=True)  # half as dense as a patient
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, (CT.astype(float) + 1024) * 0.5 - 1024)


def test_padding_of_the_scanner_is_kept(tmp_path: Path) -> None:
    padded = CT.copy()
    padded[:, :4, :4] = -3024
    write_series(tmp_path, padded, PixelPaddingValue=-2000)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, padded)
    assert volume.notes == ()


@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 1, "RescaleIntercept": 0}])
def test_unsigned_12_bit_without_rescale(tmp_path: Path, rescale: dict[str, int]) -> None:
    write_series(tmp_path, CT + 1024, intercept=None, **rescale)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT)
    assert volume.notes == (
        "The values are Hounsfield units plus 1024, so 1024 was subtracted; please check the result.",
    )


def test_signed_without_rescale_is_hounsfield(tmp_path: Path) -> None:
    write_series(tmp_path, CT, intercept=None)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT)
    assert volume.notes == ()


def test_uneven_spacing_is_said_and_measured(tmp_path: Path) -> None:
    heights = np.array([0, 2, 4, 6, 8, 14, 16, 18, 20, 22.0])  # two images are missing
    write_series(tmp_path, CT, positions=heights)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT)
    (note,) = volume.notes
    assert "unevenly spaced, 2 to 6 mm" in note
    assert volume.slice_positions_mm is not None
    np.testing.assert_allclose(volume.slice_positions_mm, heights)
    assert _geometry(volume) == _geometry_of_itk(tmp_path)
    mask = np.zeros(CT.shape, np.uint8)
    mask[4, 0, 0] = 1
    assert volume.mask_volume_ml(mask) == pytest.approx((1 + 3) * SPACING_COLS * SPACING_ROWS / 1000)


def test_rounded_positions_are_not_uneven(tmp_path: Path) -> None:
    write_series(tmp_path, CT, positions=np.round(np.arange(len(CT)) * 0.625, 1))
    assert read_volume(tmp_path).notes == ()


@pytest.mark.parametrize("degrees", [-15.0, 5.0])
def test_gantry_tilt_is_said_and_the_stack_is_itks(tmp_path: Path, degrees: float) -> None:
    # The table moves along the patient; the images lean.
    orientation = tuple(rotation((degrees, 0.0, 0.0))[:, :2].T.ravel())
    write_series(tmp_path, CT, positions=np.arange(len(CT)) * 3.0, orientation=orientation)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT)
    (note,) = volume.notes
    assert f"tilted by {abs(degrees):.1f} degrees" in note
    assert _geometry(volume) == _geometry_of_itk(tmp_path)
    np.testing.assert_allclose(volume.direction.T @ volume.direction, np.eye(3), atol=1e-8)
    # Slices are thinner than the way of the table: a volume in mL must know.
    mask = np.zeros(CT.shape, np.uint8)
    mask[2, 0, 0] = 1
    thickness = 3.0 * np.cos(np.radians(degrees))
    assert volume.mask_volume_ml(mask) == pytest.approx(thickness * SPACING_COLS * SPACING_ROWS / 1000, rel=1e-6)


def test_one_slice(tmp_path: Path) -> None:
    write_series(tmp_path, CT[4:5], SliceThickness=4)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT[4:5])
    assert volume.spacing == (SPACING_COLS, SPACING_ROWS, 4.0)
    assert volume.spacing_known


def test_spacing_that_is_not_stated_is_unknown(tmp_path: Path) -> None:
    write_series(tmp_path, CT, PixelSpacing=None)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT)
    assert not volume.spacing_known


def test_an_image_that_does_not_fit_is_left_out_and_said(tmp_path: Path) -> None:
    write_series(tmp_path / "a", CT)
    write_series(tmp_path / "b", CT[:1, :20], positions=[50.0], InstanceNumber=99, SOPInstanceUID="1.2.3.4001.99")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, CT)
    (note,) = volume.notes
    assert note.startswith("1 image was left out")


def test_frames_of_an_enhanced_ct_are_ordered_by_their_place(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "enhanced.dcm", CT[::-1], np.arange(len(CT))[::-1] * 1.5)
    volume = read_volume(tmp_path / "enhanced.dcm")
    np.testing.assert_array_equal(volume.array, CT)
    assert volume.spacing == (SPACING_COLS, SPACING_ROWS, 1.5)
    assert volume.origin == (-100.0, -120.0, 0.0)
    np.testing.assert_array_equal(volume.direction, np.eye(3))
    assert volume.notes == ()


def test_a_localiser_and_a_screenshot_beside_the_ct_are_ignored(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", CT)
    write_series(
        tmp_path / "scout",
        CT[:1],
        uid="1.2.3.4444",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        orientation=(1, 0, 0, 0, 0, -1),
    )
    write_series(
        tmp_path / "topo",
        CT[:2],
        uid="1.2.3.4445",
        SeriesDescription="Topogram 0.6",
        ImageType=None,
        orientation=(1, 0, 0, 0, 0, -1),
    )
    write_colour(tmp_path / "shot")
    np.testing.assert_array_equal(read_volume(tmp_path).array, CT)


def _three_series(folder: Path) -> None:
    write_series(folder / "a", CT, uid="1.2.3.4001", SeriesNumber=2, SeriesDescription="Body 3.0")
    write_series(folder / "b", CT[2:] + 7, uid="1.2.3.5001", SeriesNumber=12, SeriesDescription="Lung 1.0")
    write_series(folder / "c", CT, uid="1.2.9.7", SeriesNumber=3, Modality="MR", SOPClassUID=MR_IMAGE)


def test_several_series_are_listed_without_the_patient(tmp_path: Path) -> None:
    _three_series(tmp_path)
    with pytest.raises(InputError) as caught:
        read_volume(tmp_path)
    sentence = str(caught.value)
    assert '4001 ("Body 3.0", number 2, CT, 10 images)' in sentence
    assert '5001 ("Lung 1.0", number 12, CT, 8 images)' in sentence
    assert "choose one with --series" in sentence
    assert "\n" not in sentence
    assert PATIENT not in sentence
    assert "4711" not in sentence


@pytest.mark.parametrize("wanted", ["1.2.3.5001", "5001", "12"])
def test_a_series_is_chosen_by_uid_its_end_or_number(tmp_path: Path, wanted: str) -> None:
    _three_series(tmp_path)
    np.testing.assert_array_equal(read_volume(tmp_path, series=wanted).array, CT[2:] + 7)


@pytest.mark.parametrize(
    ("wanted", "match"), [("99", 'no series "99"; it holds 4001'), ("001", "fits several series"), ("", "no series")]
)
def test_a_series_that_is_not_there_or_not_unique(tmp_path: Path, wanted: str, match: str) -> None:
    _three_series(tmp_path)
    with pytest.raises(InputError, match=match):
        read_volume(tmp_path, series=wanted)


def test_uids_with_equal_ends_are_listed_longer(tmp_path: Path) -> None:
    write_series(tmp_path / "a", CT, uid="1.2.3.1.5")
    write_series(tmp_path / "b", CT, uid="1.2.3.2.5")
    with pytest.raises(InputError, match=r"1\.5 \(CT, 10 images\); 2\.5 \(CT"):
        read_volume(tmp_path)
    assert read_volume(tmp_path, series="2.5").shape_kji == CT.shape


def _mr(folder: Path) -> Path:
    write_series(folder, CT, Modality="MR", SOPClassUID=MR_IMAGE)
    return folder


def _truncated(folder: Path) -> Path:
    truncate(write_series(folder, CT)[5], 0.7)
    return folder


def _duplicated(folder: Path, more: int = 3) -> Path:
    write_series(folder / "a", CT)
    write_series(folder / "b", CT + more, SOPInstanceUID=None)
    for number, path in enumerate(sorted((folder / "b").iterdir())):
        header = pydicom.dcmread(path)
        header.SOPInstanceUID = f"1.2.3.777.{number}"
        header.save_as(path)
    return folder


def _mixed(folder: Path) -> Path:
    write_series(folder / "a", CT[:5])
    write_series(folder / "b", CT[5:, :20], positions=np.arange(5) + 90.0)
    for number, path in enumerate(sorted((folder / "b").iterdir())):
        header = pydicom.dcmread(path)
        header.SOPInstanceUID = f"1.2.3.777.{number}"
        header.save_as(path)
    return folder


def _series(folder: Path, array: np.ndarray = CT, **tags: object) -> Path:
    write_series(folder, array, **tags)
    return folder


def _structure(folder: Path) -> Path:
    for path in write_series(folder, CT[:1]):
        header = pydicom.dcmread(path)
        for keyword in ("Rows", "Columns", "PixelData"):
            delattr(header, keyword)
        header.Modality = "RTSTRUCT"
        header.save_as(path)
        return path
    raise AssertionError


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "MR": (_mr, "holds MR; SAMMix segments CT only"),
    "one MR file": (lambda f: sorted(_mr(f).iterdir())[0], "holds MR; SAMMix"),
    "truncated": (_truncated, "cut short, damaged"),
    "two phases at the same places": (_duplicated, "images at the place of another one that differ"),
    "mixed sizes": (_mixed, "mixes images of 2 sizes"),
    "no positions": (lambda f: _series(f, ImagePositionPatient=None), "does not say where its images lie"),
    "a localiser alone": (lambda f: _series(f, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localiser"),
    "colour": (lambda f: write_colour(f).parent, "colour"),
    "colour file": (write_colour, "colour"),
    "no image": (lambda f: _structure(f).parent, "no DICOM image"),
    "a file without image": (_structure, "without an image"),
    "an impossible direction": (
        lambda f: _series(f, ImageOrientationPatient=[0, 0, 0, 0, 0, 0]),
        "damaged DICOM headers",
    ),
    "a picture of 8 bits": (lambda f: _series(f, intercept=None, array=CT.clip(0, 250)), "does not look like a CT"),
    "no DICOM": (lambda f: write_nifti(f / "ct.nii.gz", CT).parent, "no DICOM image"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence_and_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    make, match = REFUSED[case]
    path = make(tmp_path)
    refusal_of(path, match, capfd)


def test_odd_headers_are_read_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_series(tmp_path, CT, SeriesNumber="", SeriesDescription="Ü" * 70, StudyDate="yesterday")
    capfd.readouterr()
    np.testing.assert_array_equal(read_volume(tmp_path).array, CT)
    assert capfd.readouterr() == ("", "")


@pytest.mark.real_data
def test_a_real_series(capfd: pytest.CaptureFixture[str]) -> None:
    folder = real_data("totalseg_dicom_slab20")
    volume = read_volume(folder)
    assert volume.shape_kji == (20, 512, 512)
    assert volume.array.dtype == np.int16
    assert _geometry(volume) == _geometry_of_itk(folder)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(_image_of_itk(folder)))
    assert volume.notes == ()
    one_file = read_volume(sorted(folder.iterdir())[7])
    np.testing.assert_array_equal(one_file.array, volume.array)
    assert capfd.readouterr() == ("", "")


def test_described_frames_that_are_not_there_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "enhanced.dcm"
    write_enhanced(path, CT, np.arange(len(CT)) * 1.5)
    file = pydicom.dcmread(path)
    file.NumberOfFrames, file.PixelData = 1, file.PixelData[: len(file.PixelData) // len(CT)]
    file.save_as(path)
    with pytest.raises(InputError, match="does not fit its image"):
        read_volume(path)


def test_gdcm_is_not_asked_for_pixels_that_do_not_fit_their_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes gigabytes of memory for such a file; a fuzz run found that."""
    short, torn = tmp_path / "short", tmp_path / "torn"
    for folder in (short, torn):
        write_series(folder, np.full((1, 64, 64), 40, np.int16))
    for folder in (short, torn):
        (path,) = folder.iterdir()
        file = pydicom.dcmread(path)
        if folder is short:
            file.Rows = 90
        else:
            file.compress(pydicom.uid.RLELossless)
            file.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLossless
            file.PixelData = file.PixelData[:30]
        file.save_as(path)
    monkeypatch.setattr(dicom_voxels, "_read_by_gdcm", lambda path: pytest.fail(f"{path.name} went to GDCM"))
    for folder in (short, torn):
        with pytest.raises(InputError, match="cut short, damaged"):
            read_volume(folder)
