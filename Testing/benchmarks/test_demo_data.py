"""The demo's CT: MRC files, their checks, and the axis order of the wheel's volume."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import mrcfile
import nibabel
import numpy as np
import pytest
from real_data import real_data

from sammix_core.errors import InputError
from sammix_core.volume_io import read_volume

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import demo_data


def _write_mrc(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as file:
        file.set_data(array)
    return path


def _stored() -> np.ndarray:
    """(L, P, S) of different lengths: air, with one voxel of each that is known."""
    array = np.full((3, 4, 5), -1000, np.float32)
    array[2, 0, 0], array[0, 3, 0], array[0, 0, 4] = 1.0, 2.0, 3.0
    return array


def _patched(path: Path, offset: int, content: bytes) -> Path:
    whole = bytearray(path.read_bytes())
    whole[offset : offset + len(content)] = content
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda p: _patched(p, 208, b"XXXX"), "damaged or no MRC file"),
        (lambda p: _patched(p, 12, struct.pack("<i", 77)), "damaged or no MRC file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-4]) and p, "damaged or no MRC file"),
        (lambda p: p.write_bytes(p.read_bytes() + b"more") and p, "damaged or no MRC file"),
        (lambda p: p.write_bytes(b"MRC") and p, "damaged or no MRC file"),
        (lambda p: p.with_name("missing.mrc"), "cannot be read"),
    ],
)
def test_damaged_mrc_is_refused(tmp_path: Path, damage, match: str) -> None:  # type: ignore[no-untyped-def]
    path = damage(_write_mrc(tmp_path / "a.mrc", _stored()))
    with pytest.raises(InputError, match=match):
        demo_data.read_demo_volume(path)


def test_the_demo_is_written_with_its_axes_known(tmp_path: Path) -> None:
    _write_mrc(tmp_path / "wheel" / "data" / demo_data.CT_FILE, _stored())
    written = demo_data.write_demo_ct(tmp_path / "wheel", tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(volume.array, written.array)
    assert not volume.spacing_known
    # i to the left, j to the back, k upwards: canonical already.
    np.testing.assert_array_equal(volume.direction, np.eye(3))
    canonical = volume.axial_order.forward(volume.array)
    assert canonical.shape == (5, 4, 3)
    assert (canonical[0, 0, 2], canonical[0, 3, 0], canonical[4, 0, 0]) == (1.0, 2.0, 3.0)
    assert nibabel.aff2axcodes(nibabel.load(tmp_path / "ct.nii.gz").affine) == ("L", "P", "S")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_mrc(tmp_path / demo_data.CT_FILE, _stored())
    assert demo_data.main([str(tmp_path), str(tmp_path / "ct.nii.gz")]) == 0
    assert "its spacing is lost" in capsys.readouterr().out
    assert demo_data.main([str(tmp_path / "nowhere"), str(tmp_path / "ct.nii.gz")]) == 2
    assert "does not hold img_117.mrc" in capsys.readouterr().err
    assert demo_data.main([]) == 2
    assert capsys.readouterr().err.startswith("usage")


@pytest.mark.real_data
def test_the_shared_copy_is_the_same_volume_in_the_same_order() -> None:
    """What was read off the pictures, put into numbers, on the copy of the wheel's volume in ../shared/data."""
    stored = np.asarray(nibabel.load(real_data("lits117_128_ct.nii.gz")).dataobj)
    labels = np.asarray(nibabel.load(real_data("lits117_128_label_liver1_tumour2.nii.gz")).dataobj)
    hu, liver = demo_data.to_kji(stored), demo_data.to_kji(labels) > 0
    n_slices, n_rows, n_cols = hu.shape
    bone = hu > 300
    lung = (hu > -950) & (hu < -700)
    slices, rows, cols = np.indices(hu.shape)
    assert (
        cols[liver].mean() < n_cols * 0.45 < cols[bone].mean()
    )  # the liver on the left of the picture, the spine right
    assert rows[liver].mean() < n_rows * 0.45 < n_rows * 0.55 < rows[bone].mean()  # the spine at the bottom
    assert slices[lung].mean() > n_slices * 0.55  # lung at the top
