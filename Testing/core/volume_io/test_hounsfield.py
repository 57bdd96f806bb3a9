"""Is it a CT? Judged by its values where the file does not say."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series
from image_files import write_nifti
from real_data import real_data
from synthetic_ct import synthetic_ct, synthetic_mr

from sammix_core.errors import InputError
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.hounsfield import NotHounsfieldError, to_volume
from sammix_core.volume_io.raw_image import RawImage

SHAPE = (16, 48, 56)


def _body() -> np.ndarray:
    """Cut inside the body: fat, tissue, liver and bone, but no air."""
    return synthetic_ct(SHAPE)[:, 12:42, 12:44]


TAKEN = {
    "plain": lambda ct: ct,
    "padded with -3024": lambda ct: np.where(ct < -980, np.int16(-3024), ct),
    "padded with -2048": lambda ct: np.where(ct < -980, np.int16(-2048), ct),
    "padded with -32768": lambda ct: np.where(ct < -980, np.int16(-32768), ct),
    "cut to the body": lambda ct: _body(),
    "body on a ground of 0": lambda ct: np.where(ct < -200, np.int16(0), ct),
    "clipped to the liver window": lambda ct: np.clip(ct, -160, 240),
    "clipped to another window": lambda ct: np.clip(ct, -100, 300),
    "air alone": lambda ct: np.full_like(ct, -1000),
    "padding alone": lambda ct: np.full_like(ct, -3024),
    "floats": lambda ct: ct.astype(np.float32) + 0.25,
}


@pytest.mark.parametrize("case", TAKEN)
def test_ct_is_taken_as_it_is(tmp_path: Path, case: str) -> None:
    ct = TAKEN[case](synthetic_ct(SHAPE))
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", ct))
    np.testing.assert_array_equal(volume.array, ct)
    assert volume.notes == ()


UNSIGNED = {
    "whole": lambda ct: np.clip(ct, -1024, 3071),
    "cut to the body": lambda ct: _body(),
    "padded with raw -2000": lambda ct: np.where(ct < -980, np.int16(-2000 - 1024), ct),
}


@pytest.mark.parametrize("case", UNSIGNED)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_unsigned_12_bit_is_shifted_and_said(tmp_path: Path, case: str, dtype: type) -> None:
    ct = UNSIGNED[case](synthetic_ct(SHAPE))
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", (ct.astype(np.int32) + 1024).astype(dtype)))
    np.testing.assert_array_equal(volume.array, ct)
    assert volume.array.dtype == (np.float32 if dtype is np.float32 else np.int16)
    (note,) = volume.notes
    assert "1024 was subtracted" in note


def test_nan_in_unsigned_is_air_too(tmp_path: Path) -> None:
    stored = synthetic_ct(SHAPE).astype(np.float32) + 1024
    stored[0, 0, 0] = np.nan
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", stored))
    assert volume.array[0, 0, 0] == -1000
    assert len(volume.notes) == 2


def _gauss(mean: float, sd: float) -> np.ndarray:
    return np.random.default_rng(0).normal(mean, sd, SHAPE).astype(np.float32)


def _z_scored() -> np.ndarray:
    ct = synthetic_ct(SHAPE).astype(np.float32)
    return (ct - ct.mean()) / ct.std()


REFUSED = {
    **{
        f"MR up to {top}": (lambda top=top: synthetic_mr(SHAPE, top)) for top in (100, 255, 700, 1200, 1500, 2000, 3500)
    },
    "MR with a body of one brightness": lambda: np.abs(_gauss(600, 250)),
    "MR of signed integers": lambda: synthetic_mr(SHAPE, 1500).astype(np.int16) - np.int16(3),
    "MR phase": lambda: np.random.default_rng(0).integers(-4096, 4096, SHAPE).astype(np.int16),
    "normalised to z scores": _z_scored,
    "normalised to [0, 1]": lambda: (np.clip(synthetic_ct(SHAPE), -160, 240) + 160).astype(np.float32) / 400,
    "a picture of 8 bits": lambda: ((np.clip(synthetic_ct(SHAPE), -160, 240) + 160) / 400 * 255).astype(np.uint8),
    "a labelmap": lambda: (synthetic_ct(SHAPE) > 80).astype(np.uint8),
    "zeros": lambda: np.zeros(SHAPE, np.int16),
    "PET": lambda: np.abs(_gauss(0, 4000)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_ct_is_refused(tmp_path: Path, case: str) -> None:
    path = write_nifti(tmp_path / "mr.nii.gz", REFUSED[case]())
    with pytest.raises(InputError, match=r"mr\.nii\.gz does not look like a CT in Hounsfield units .*\.$"):
        read_volume(path)


REAL_CT = [
    "acrin_flt_breast_001_abdpelvis_ct", "acrin_flt_breast_013_chest_ct", "amos0001_slab11_ct", "crlm1004_ct",
    "ircadb17_ct", "lits117_128_ct", "totalseg_example_ct",
]  # fmt: skip
CHANGES = {
    "as it is": (lambda hu: hu, 0),
    "clipped to the liver window": (lambda hu: np.clip(hu, -160, 240), 0),
    "on a ground of 0": (lambda hu: np.where(hu < -200, np.int16(0), hu), 0),
    "the middle": (lambda hu: hu[:, hu.shape[1] // 3 : -hu.shape[1] // 3, hu.shape[2] // 3 : -hu.shape[2] // 3], 0),
    "unsigned": (lambda hu: np.clip(hu, -1024, 3071), 1024),
}


@functools.cache
def real_ct(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The HU of a real CT in every second row and column, and its middle, where there is no air.

    Reading it takes seconds, so many tests share it.
    """
    hu = read_volume(real_data(f"{name}.nii.gz")).array
    rows, cols = (slice(round(0.35 * size), round(0.65 * size)) for size in hu.shape[1:])
    sampled, middle = np.ascontiguousarray(hu[:, ::2, ::2]), np.ascontiguousarray(hu[:, rows, cols])
    for part in (sampled, middle):
        part.setflags(write=False)
    return sampled, middle


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL_CT)
@pytest.mark.parametrize("change", CHANGES)
def test_real_ct_is_recognised(tmp_path: Path, name: str, change: str) -> None:
    hu, _ = real_ct(name)
    make, offset = CHANGES[change]
    expected = make(hu)
    volume = read_volume(write_nifti(tmp_path / "ct.nii", expected + np.int16(offset)))
    np.testing.assert_array_equal(volume.array, expected)
    assert len(volume.notes) == (offset != 0)


NO_CT = ["msam_demo_image", "lits117_128_label_liver1_tumour2", "amos0001_slab11_label_amos15"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", NO_CT)
def test_real_files_that_are_no_ct(name: str) -> None:
    with pytest.raises(InputError, match="does not look like a CT"):
        read_volume(real_data(f"{name}.nii.gz"))


def _filled(hu: np.ndarray, offset: int, fill: int) -> np.ndarray:
    """HU plus an offset, with padding outside the scan circle."""
    stored = np.maximum(hu, -1024) + np.int16(offset)
    rows, cols = np.ogrid[-1 : 1 : 1j * hu.shape[1], -1 : 1 : 1j * hu.shape[2]]
    stored[:, np.hypot(rows, cols) > 1] = fill
    return stored


SCALES = {
    **{f"HU + 1024 with fill {fill}": (lambda hu, f=fill: _filled(hu, 1024, f), "1024 was subtracted", -1024)
       for fill in (-1024, -1000, -500, 0)},
    "HU + 1000": (lambda hu: hu + np.int16(1000), "1024 was subtracted", -1024),
    "an intercept applied twice": (lambda hu: _filled(hu, -1024, -2048), "1024 was added", 1024),
    "HU - 1024 with fill 0": (lambda hu: _filled(hu, -1024, 0), "1024 was added", 1024),
    "HU / 1000": (lambda hu: hu / np.float32(1000), "multiplied by 1000", None),
}  # fmt: skip


def _case(name: str) -> np.ndarray:
    return synthetic_ct(SHAPE) if name == "drawn" else np.ascontiguousarray(real_ct(name)[0][:, ::2, ::2])


CASES = ["drawn", *(pytest.param(name, marks=pytest.mark.real_data) for name in ("hcc005_plain_ct", "ircadb17_ct"))]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("condition", SCALES)
def test_another_scale_is_converted_and_said(tmp_path: Path, name: str, condition: str) -> None:
    make, said, shift = SCALES[condition]
    hu = _case(name)
    stored = make(hu)
    volume = read_volume(write_nifti(tmp_path / "ct.nii", stored))
    (note,) = volume.notes
    assert said in note
    if shift is None:
        np.testing.assert_allclose(volume.array, hu, atol=0.01)
    else:
        np.testing.assert_array_equal(volume.array, stored + np.int16(shift))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("offset", [-2048, -512, -200, 200, 512, 2048, 7168])
def test_a_wrong_intercept_is_refused(tmp_path: Path, name: str, offset: int) -> None:
    path = write_nifti(tmp_path / "ct.nii", _case(name) + np.int16(offset))
    with pytest.raises(NotHounsfieldError, match="--values-are-hu"):
        read_volume(path)
    taken = read_volume(path, values_are_hu=True)
    np.testing.assert_array_equal(taken.array, _case(name) + np.int16(offset))
    assert taken.notes == ()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("offset", "lowest"), [(-1024, -1024), (-1024, -1000), (-1000, -1024)])
def test_what_was_cut_off_is_refused(tmp_path: Path, name: str, offset: int, lowest: int) -> None:
    stored = np.maximum(_case(name) + np.int16(offset), np.int16(lowest))
    with pytest.raises(NotHounsfieldError, match="what is lighter was cut off"):
        read_volume(write_nifti(tmp_path / "ct.nii", stored))


def test_a_small_body_in_much_noisy_air_is_not_cut_off(tmp_path: Path) -> None:
    air = np.random.default_rng(0).normal(-1000, 20, (8, 200, 200)).round().astype(np.int16)
    air[:, 90:110, 95:105] = synthetic_ct((8, 20, 10))
    for clipped in (air, np.maximum(air, -1024), np.maximum(air, -1000)):
        np.testing.assert_array_equal(read_volume(write_nifti(tmp_path / "ct.nii", clipped)).array, clipped)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["hcc005_plain_ct", "crlm1004_ct", "hcc015_portal_ct"])
@pytest.mark.parametrize("offset", [0, 200, -200])
def test_a_view_without_air_is_judged_by_fat_and_tissue(tmp_path: Path, name: str, offset: int) -> None:
    path = write_nifti(tmp_path / "ct.nii", real_ct(name)[1] + np.int16(offset))
    if offset == 0:
        assert read_volume(path).notes == ()
    else:
        with pytest.raises(NotHounsfieldError):
            read_volume(path)


def test_fractions_are_no_hounsfield_units_whatever_dicom_says() -> None:
    body = np.maximum(_body(), -150) / np.float32(1000)
    raw = RawImage(body, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3), said_to_be_ct=True, rescale_stated=True)
    with pytest.raises(NotHounsfieldError, match="does not look like a CT"):
        to_volume(raw, "the CT")


def test_a_stated_rescale_is_no_proof(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", _filled(synthetic_ct(SHAPE), 1024, 0), intercept=-24)
    volume = read_volume(tmp_path / "ct")
    assert "1024 was subtracted" in volume.notes[0]
    assert abs(float(np.median(volume.array[volume.array > -500])) - 40) < 30


@pytest.mark.parametrize("water", [0, 60])
def test_a_cube_of_water_is_left_to_the_network(tmp_path: Path, water: int) -> None:
    cube = np.full(SHAPE, -1000, np.int16)
    cube[:, 10:40, 10:40] = water
    np.testing.assert_array_equal(read_volume(write_nifti(tmp_path / "cube.nii", cube)).array, cube)
