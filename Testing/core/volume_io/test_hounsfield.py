"""Is it a CT? Judged by its values where the file does not say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import write_nifti
from real_data import real_data
from synthetic_ct import synthetic_ct, synthetic_mr

from sammix_core.errors import InputError
from sammix_core.volume_io import read_volume

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
    stored = synthetic_ct(SHAPE).astype(np.float32) + 1124
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


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL_CT)
@pytest.mark.parametrize("change", CHANGES)
def test_real_ct_is_recognised(tmp_path: Path, name: str, change: str) -> None:
    hu = read_volume(real_data(f"{name}.nii.gz")).array[:, ::2, ::2]
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
