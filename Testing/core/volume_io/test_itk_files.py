"""NRRD and MetaImage in, and inputs of no known format."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import itk_geometry, rotation, truncate, write_with_itk
from refusals import refusal_of
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.volume_io import read_volume

SUFFIXES = [".nrrd", ".mha", ".nhdr", ".mhd"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_numbers_and_geometry_are_those_of_simpleitk(tmp_path: Path, suffix: str, dtype: type) -> None:
    path = write_with_itk(tmp_path / f"ct{suffix}", synthetic_ct().astype(dtype), direction=rotation())
    volume = read_volume(path)
    gc.collect()  # the array must keep the memory it looks into alive
    np.testing.assert_array_equal(volume.array, synthetic_ct())
    assert volume.array.dtype == (np.int16 if np.dtype(dtype).kind == "i" else np.float32)
    spacing, origin, direction, _ = itk_geometry(path)
    assert (volume.spacing, volume.origin, tuple(volume.direction.ravel())) == (spacing, origin, direction)
    assert volume.notes == ()


def test_nan_becomes_air(tmp_path: Path) -> None:
    ct = synthetic_ct().astype(np.float32)
    ct[3, 3, 3] = np.nan
    volume = read_volume(write_with_itk(tmp_path / "ct.nrrd", ct))
    assert volume.array[3, 3, 3] == -1000
    assert volume.notes == ("1 voxel that was not a number was set to air.",)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_image_without_geometry_has_an_unknown_spacing(tmp_path: Path, suffix: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(synthetic_ct()), str(tmp_path / f"ct{suffix}"))
    assert not read_volume(tmp_path / f"ct{suffix}").spacing_known


def _written(path: Path, image: sitk.Image) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def _sheared_nrrd(folder: Path) -> Path:
    ct = synthetic_ct()
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 44 36 10\n"
        "space directions: (1,0,0) (0.1,1,0) (0,0,3)\nendian: little\nencoding: raw\nspace origin: (0,0,5)\n\n"
    )
    (folder / "sheared.nrrd").write_bytes(header.encode() + ct.astype("<i2").tobytes())
    return folder / "sheared.nrrd"


def _without_data(folder: Path) -> Path:
    path = write_with_itk(folder / "ct.mhd", synthetic_ct())
    (folder / "ct.zraw").unlink()
    return path


def _named(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _replaced(path: Path, pattern: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    path.write_bytes(re.sub(pattern, new, content, count=1))
    assert path.read_bytes() != content
    return path


REFUSED = {
    # MetaIO crashes the whole process on it.
    "a smaller packed size than there is": (
        lambda f: _replaced(write_with_itk(f / "a.mha", synthetic_ct()), rb"DataSize = .*", b"DataSize = 642"),
        "damaged",
    ),
    "directions that are no unit vectors": (
        lambda f: _replaced(write_with_itk(f / "a.mha", synthetic_ct()), rb"Matrix = 1 0 0", b"Matrix = 3 0 0"),
        "damaged header",
    ),
    "truncated NRRD": (lambda f: truncate(write_with_itk(f / "ct.nrrd", synthetic_ct())), "cut short"),
    "truncated MetaImage": (lambda f: truncate(write_with_itk(f / "ct.mha", synthetic_ct())), "cut short"),
    "2-D NRRD": (lambda f: _written(f / "a.nrrd", sitk.GetImageFromArray(synthetic_ct()[0])), "2-D"),
    "2-D MetaImage": (lambda f: _written(f / "a.mha", sitk.GetImageFromArray(synthetic_ct()[0])), "2-D"),
    "4-D": (lambda f: _written(f / "a.nrrd", sitk.JoinSeries([sitk.GetImageFromArray(synthetic_ct())] * 2)), "4-D"),
    "colour": (
        lambda f: _written(f / "a.mha", sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)),
        "3 values a voxel",
    ),
    "sheared": (_sheared_nrrd, "sheared"),
    "without its data file": (_without_data, "cut short"),
    "text named NRRD": (lambda f: _named(f / "a.nrrd", b"hello"), "of another format"),
    "all NaN": (lambda f: write_with_itk(f / "a.nrrd", np.full((4, 5, 6), np.nan, np.float32)), "no number at all"),
    "text": (lambda f: _named(f / "a.txt", b"hello"), "no CT volume that can be read"),
    "empty": (lambda f: _named(f / "a.mha", b""), "is empty"),
    "empty without a suffix": (lambda f: _named(f / "a", b""), "no CT volume that can be read"),
    "missing": (lambda f: f / "nothing.nii.gz", "does not exist"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence_and_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    make, match = REFUSED[case]
    path = make(tmp_path)
    assert path.name in refusal_of(path, match, capfd)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        read_volume(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="no DICOM image"):
        read_volume(tmp_path)


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_with_itk(tmp_path / "ct.nii.gz", synthetic_ct())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # chmod does not stop root
    with pytest.raises(InputError, match="cannot be read: permission denied"):
        read_volume(path)


@pytest.mark.parametrize(
    ("suffix", "pattern", "new"),
    [
        (".nrrd", rb"space: .*\nsizes: (.*)\nspace directions: .*\n", rb"sizes: \1\nspacings: 0.7 0.8 2.5\n"),
        (".mha", rb"TransformMatrix = .*\n", b""),
    ],
)
def test_a_header_without_directions_states_no_orientation(
    tmp_path: Path, suffix: str, pattern: bytes, new: bytes
) -> None:
    path = write_with_itk(tmp_path / f"ct{suffix}", synthetic_ct())
    assert read_volume(path).orientation_known
    if suffix == ".nrrd":
        content = re.sub(rb"space origin: .*\n", b"", path.read_bytes(), count=1)
        path.write_bytes(content)
    volume = read_volume(_replaced(path, pattern, new))
    assert volume.spacing == (0.7, 0.8, 2.5)
    assert not volume.orientation_known
    assert "does not say how the patient lies" in volume.notes[0]
