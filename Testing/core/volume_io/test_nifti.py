"""NIfTI in: what is read, what is said, what is refused."""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import itk_geometry, patch_header, rotation, truncate, write_nifti, write_scaled, write_with_itk
from refusals import refusal_of
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.volume_io import read_volume, write_labelmap


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (12.0, -7.0, 31.0), (0.0, 90.0, 0.0)])
def test_numbers_and_geometry_are_those_of_simpleitk(
    tmp_path: Path, suffix: str, turn: tuple[float, float, float]
) -> None:
    ct = synthetic_ct()
    path = write_with_itk(tmp_path / f"ct{suffix}", ct, direction=rotation(turn))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, ct)
    assert volume.array.dtype == np.int16
    assert volume.array.flags.c_contiguous
    spacing, origin, direction, _ = itk_geometry(path)
    assert (volume.spacing, volume.origin, tuple(volume.direction.ravel())) == (spacing, origin, direction)
    assert volume.spacing_known
    assert volume.notes == ()


def test_a_nibabel_affine_is_where_it_says(tmp_path: Path) -> None:
    affine = np.array([[0, 0, -2.5, 9.0], [0.7, 0, 0, -8.0], [0, -0.8, 0, 7.0], [0, 0, 0, 1]])
    volume = read_volume(write_nifti(tmp_path / "ct.nii", synthetic_ct(), affine))
    np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=1e-6)


@pytest.mark.parametrize("dtype", [">i2", "<i4", ">i4", "<u2", "<f4", ">f4", "<f8", "<i8"])
def test_all_number_types(tmp_path: Path, dtype: str) -> None:
    ct = synthetic_ct() if np.dtype(dtype).kind != "u" else synthetic_ct() + np.int16(1040)
    header = nibabel.Nifti1Header(endianness=dtype[0])
    header.set_data_dtype(dtype)
    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    nibabel.save(nibabel.Nifti1Image(ct.T.astype(dtype), affine, header), tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    assert volume.array.dtype == (np.float32 if np.dtype(dtype).kind == "f" else np.int16)
    expected = synthetic_ct() if np.dtype(dtype).kind != "u" else synthetic_ct() + 16  # 1040 less 1024
    np.testing.assert_array_equal(volume.array, expected)


@pytest.mark.parametrize(("slope", "intercept", "dtype"), [(2.0, -10.0, np.int16), (0.5, 0.25, np.float32)])
def test_slope_and_intercept(tmp_path: Path, slope: float, intercept: float, dtype: type) -> None:
    stored = np.rint((synthetic_ct() - intercept) / slope).astype(np.int16)
    volume = read_volume(write_scaled(tmp_path / "ct.nii", stored, slope, intercept))
    assert volume.array.dtype == dtype
    np.testing.assert_allclose(volume.array, stored * slope + intercept)


@pytest.mark.parametrize(("slope", "intercept"), [(0.0, 5.0), (np.nan, np.nan), (1.0, 0.0), (np.inf, 0.0)])
def test_no_scaling(tmp_path: Path, slope: float, intercept: float) -> None:
    ct = synthetic_ct()
    np.testing.assert_array_equal(read_volume(write_scaled(tmp_path / "ct.nii", ct, slope, intercept)).array, ct)


def test_values_beyond_int16_are_clipped(tmp_path: Path) -> None:
    ct = synthetic_ct().astype(np.int32)
    ct[0, 0, :2] = (70_000, -70_000)
    array = read_volume(write_nifti(tmp_path / "ct.nii.gz", ct)).array
    assert array.dtype == np.int16
    assert array[0, 0, :2].tolist() == [32767, -32768]


def test_names_that_do_not_tell_whether_the_file_is_gzipped(tmp_path: Path) -> None:
    ct = synthetic_ct()
    plain = write_nifti(tmp_path / "ct.nii", ct)
    np.testing.assert_array_equal(read_volume(plain.rename(tmp_path / "Pl\u00e4in.NII.GZ")).array, ct)
    packed = write_nifti(tmp_path / "ct.nii.gz", ct)
    volume = read_volume(packed.rename(tmp_path / "packed.nii"))
    np.testing.assert_array_equal(volume.array, ct)
    assert volume.spacing[2] == 2.5


@given(offset=st.integers(0, 347), content=st.binary(min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_damage_to_the_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, offset: int, content: bytes
) -> None:
    path = write_nifti(tmp_path_factory.mktemp("damage") / "ct.nii", synthetic_ct((3, 8, 9)))
    whole = bytearray(path.read_bytes())
    whole[offset : offset + len(content)] = content
    path.write_bytes(whole)
    with suppress(InputError):
        volume = read_volume(path)
        assert volume.array.dtype in (np.int16, np.float32)
        assert np.isfinite(volume.array).all()


def test_one_time_point_counts_as_3d(tmp_path: Path) -> None:
    ct = synthetic_ct()
    np.testing.assert_array_equal(read_volume(write_nifti(tmp_path / "ct.nii.gz", ct[np.newaxis])).array, ct)


def test_one_slice(tmp_path: Path) -> None:
    ct = synthetic_ct()[5:6]
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", ct))
    np.testing.assert_array_equal(volume.array, ct)
    assert volume.axial_order.slice_axis == "k"


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0])])
def test_placeholder_geometry_means_unknown_spacing(tmp_path: Path, affine: np.ndarray) -> None:
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", synthetic_ct(), affine))
    assert not volume.spacing_known
    assert volume.notes == ("The spacing is unknown, so no volume in mL can be given.",)
    assert volume.mask_volume_ml(np.ones(volume.array.shape)) is None


@pytest.mark.parametrize("pixdim", [0.0, 1.0])
def test_a_header_without_any_geometry(tmp_path: Path, pixdim: float) -> None:
    path = write_nifti(tmp_path / "ct.nii", synthetic_ct(), pixdim=[1.0, *[pixdim] * 3, 1, 1, 1, 1])
    patch_header(path, sform_code=0, qform_code=0)
    volume = read_volume(path)
    assert not volume.spacing_known
    assert volume.spacing == (1.0, 1.0, 1.0)


def test_1_mm_away_from_the_origin_is_a_spacing(tmp_path: Path) -> None:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[2, 3] = -312.5
    assert read_volume(write_nifti(tmp_path / "ct.nii.gz", synthetic_ct(), affine)).spacing_known


def test_missing_orientation_is_said(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "ct.nii", synthetic_ct(), sform_code=0, qform_code=0)
    volume = read_volume(path)
    assert not volume.orientation_known
    (note,) = volume.notes
    assert "does not say how the patient lies" in note


def test_two_spacings_are_said(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "ct.nii", synthetic_ct(), pixdim=[1.0, 1.5, 1.5, 2.5, 1, 1, 1, 1])
    volume = read_volume(path)
    assert volume.spacing == itk_geometry(path)[0] == (1.5, 1.5, 2.5)
    assert volume.notes == (
        "The header states two spacings, 1.5 x 1.5 x 2.5 and 0.7 x 0.8 x 2.5 mm; "
        "the first was taken, as 3D Slicer does.",
    )


@pytest.mark.parametrize(("count", "said"), [(1, "1 voxel that was not a number was"), (3, "3 voxels that were not")])
def test_nan_becomes_air(tmp_path: Path, count: int, said: str) -> None:
    ct = synthetic_ct().astype(np.float32)
    ct[4, 10, 10 : 10 + count] = [np.nan, np.inf, -np.inf][:count]
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", ct))
    assert volume.array[4, 10, 10 : 10 + count].tolist() == [-1000.0] * count
    assert np.isfinite(volume.array).all()
    (note,) = volume.notes
    assert note.startswith(said)
    assert note.endswith("set to air.")


def test_nan_almost_everywhere_still_reads(tmp_path: Path) -> None:
    ct = np.full((12, 120, 120), np.nan, np.float32)
    ct[5, 61:64, 61:64] = -500
    assert read_volume(write_nifti(tmp_path / "ct.nii.gz", ct)).array[5, 62, 62] == -500


def test_simpleitk_itself_would_not_have_noticed(tmp_path: Path) -> None:
    # The reason why voxels are not read by SimpleITK; when this fails, it has learnt it.
    path = truncate(write_nifti(tmp_path / "ct.nii.gz", synthetic_ct()))
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[-1].max() == 0


def _all_nan(folder: Path) -> Path:
    return write_nifti(folder / "nan.nii.gz", np.full((4, 5, 6), np.nan, np.float32))


def _sheared(folder: Path, shear: float = 0.05, with_qform: bool = False) -> Path:
    affine = np.diag([0.7, 0.7, 2.5, 1.0])
    affine[0, 1] = shear
    image = nibabel.Nifti1Image(synthetic_ct().T, affine)
    if with_qform:
        image.set_qform(affine, code=1, strip_shears=True)
        image.set_sform(affine, code=1)
    nibabel.save(image, folder / "sheared.nii.gz")
    return folder / "sheared.nii.gz"


def _rgb(folder: Path) -> Path:
    array = np.zeros((6, 5, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / "rgb.nii.gz")
    return folder / "rgb.nii.gz"


def _complex(folder: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4), np.complex64), np.eye(4)), folder / "c.nii.gz")
    return folder / "c.nii.gz"


def _two(folder: Path) -> Path:
    nibabel.save(nibabel.Nifti2Image(synthetic_ct().T, np.eye(4)), folder / "two.nii.gz")
    return folder / "two.nii.gz"


def _written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def _bad_checksum(folder: Path) -> Path:
    path = write_nifti(folder / "crc.nii.gz", synthetic_ct())
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)
    return path


REFUSED = {
    "truncated gzip": (lambda f: truncate(write_nifti(f / "ct.nii.gz", synthetic_ct())), "cut short"),
    "gzip cut in its header": (lambda f: truncate(write_nifti(f / "ct.nii.gz", synthetic_ct()), 0.001), "cut short"),
    "gzip with a wrong checksum": (_bad_checksum, "cut short or damaged"),
    "truncated": (lambda f: truncate(write_nifti(f / "ct.nii", synthetic_ct())), "cut short"),
    "header alone": (lambda f: truncate(write_nifti(f / "ct.nii", synthetic_ct()), 0.01), "too short|cut short"),
    "all NaN": (_all_nan, "no number at all"),
    "sheared": (_sheared, "sheared"),
    "sheared a little": (lambda f: _sheared(f, 0.005), "sheared"),
    "sheared, with a straight qform": (lambda f: _sheared(f, 0.05, with_qform=True), "sheared"),
    "2-D": (lambda f: write_with_itk_2d(f), "2-D"),
    "4-D": (lambda f: write_nifti(f / "4d.nii.gz", np.stack([synthetic_ct()] * 2)), "4-D"),
    "vectors": (lambda f: write_nifti(f / "v.nii.gz", np.zeros((3, 1, 4, 5, 6), np.int16)), "3 values a voxel"),
    "colour": (_rgb, "colours"),
    "complex": (_complex, "plain numbers"),
    "NIfTI-2": (_two, "NIfTI-2"),
    "text": (lambda f: _written(f, "t.nii", b"This is not a CT.\n" * 40), "not a NIfTI"),
    "short text": (lambda f: _written(f, "t.nii.gz", b"hello"), "too short"),
    "empty": (lambda f: _written(f, "e.nii.gz", b""), "is empty"),
    "gzipped text": (lambda f: _written(f, "t.nii.gz", gzip.compress(b"text " * 200)), "not a NIfTI"),
    "no axis": (lambda f: write_nifti(f / "z.nii", synthetic_ct(), srow_x=[0, 0, 0, 0]), "damaged header|sheared"),
    "NaN in the sform": (lambda f: write_nifti(f / "n.nii", synthetic_ct(), srow_y=[np.nan] * 4), "damaged header"),
    "negative size": (lambda f: write_nifti(f / "s.nii", synthetic_ct(), dim=[3, 44, -1, 9, 1, 1, 1, 1]), "damaged"),
    "17 dimensions": (lambda f: write_nifti(f / "s.nii", synthetic_ct(), dim=[17, 4, 4, 4, 1, 1, 1, 1]), "damaged"),
    "unknown type": (lambda f: write_nifti(f / "u.nii", synthetic_ct(), datatype=9999), "unknown kind"),
}


def write_with_itk_2d(folder: Path) -> Path:
    image = sitk.GetImageFromArray(synthetic_ct()[4])
    sitk.WriteImage(image, str(folder / "flat.nii.gz"))
    return folder / "flat.nii.gz"


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence_and_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    make, match = REFUSED[case]
    path = make(tmp_path)
    assert path.name in refusal_of(path, match, capfd)


def test_series_is_for_dicom_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no DICOM"):
        read_volume(write_nifti(tmp_path / "ct.nii.gz", synthetic_ct()), series="3")


@pytest.mark.parametrize("shear", [1e-6, 1e-5, 1e-4, 5e-4, 9e-4])
@pytest.mark.parametrize("entry", [(0, 1), (1, 2), (2, 0)])
def test_a_grid_that_rounding_has_sheared_is_read(tmp_path: Path, shear: float, entry: tuple[int, int]) -> None:
    affine = np.diag([0.7, 0.7, 0.7, 1.0])
    affine[:3, 3] = (30.0, -20.0, 11.0)
    affine[entry] += 0.7 * shear
    volume = read_volume(write_nifti(tmp_path / "ct.nii", synthetic_ct(), affine))
    np.testing.assert_array_equal(volume.array, synthetic_ct())
    np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=1e-3)
    assert volume.notes == ()


def test_slices_stacked_at_a_slant_are_a_tilted_gantry(tmp_path: Path) -> None:
    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    affine[:3, 3] = (30.0, -20.0, 11.0)
    affine[1, 2] = 2.5 * np.tan(np.radians(15))
    path = write_nifti(tmp_path / "ct.nii", synthetic_ct(), affine)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, synthetic_ct())
    assert volume.slice_positions_mm is not None
    np.testing.assert_allclose(volume.slice_positions_mm, np.arange(len(synthetic_ct())) * 2.5, atol=1e-5)
    assert "tilted by 15.0 degrees" in volume.notes[0]
    write_labelmap((volume.array > 80).astype(np.uint8), volume, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(nibabel.load(tmp_path / "mask.nii.gz").affine, nibabel.load(path).affine)


def test_a_qform_and_an_sform_that_contradict_each_other_are_said(tmp_path: Path) -> None:
    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    affine[:3, 3] = (30.0, -20.0, 11.0)
    image = nibabel.Nifti1Image(synthetic_ct().T, affine)
    image.set_sform(affine, code=1)
    image.set_qform(np.diag([0.7, -0.8, 2.5, 1.0]), code=1)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    (note,) = read_volume(tmp_path / "ct.nii.gz").notes
    assert "qform and sform contradict each other" in note


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (-1, 1, 1)])
def test_a_spacing_alone_states_no_orientation(tmp_path: Path, signs: tuple[int, int, int]) -> None:
    affine = np.diag([*np.multiply(signs, (0.7, 0.8, 2.5)), 1.0])
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", synthetic_ct(), affine))
    assert volume.spacing_known
    assert not volume.orientation_known
    assert "does not say how the patient lies" in volume.notes[0]
