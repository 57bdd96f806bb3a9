"""Labelmaps out: on the input's own grid, in the formats that Slicer reads, whole or not at all."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import write_series
from image_files import itk_geometry, rotation, write_nifti, write_with_itk
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import LABELMAP_SUFFIXES, LIVER, Segment, check_output, read_volume, write_labelmap
from sammix_core.volume_io.segments import Code

CT = synthetic_ct()
MASK = (CT > 80).astype(np.uint8)
GEOMETRY = ["sform_code", "qform_code", "pixdim", "xyzt_units", "srow_x", "srow_y", "srow_z"]
GEOMETRY += ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"]


def _input(folder: Path, suffix: str, turn: tuple[float, float, float] = (12.0, -7.0, 31.0)) -> Path:
    # Numbers with no short decimal or binary form, so that any rounding shows.
    return write_with_itk(
        folder / f"ct{suffix}", CT, (0.7 / 3, 0.8 / 7, 2.5 / 9), (-101 / 3, 1 / 7, 2e3 / 9), rotation(turn)
    )


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("output", LABELMAP_SUFFIXES)
def test_the_grid_is_the_inputs_own(tmp_path: Path, suffix: str, output: str) -> None:
    path, target = _input(tmp_path, suffix), tmp_path / f"liver{output}"
    write_labelmap(MASK, read_volume(path), target)
    expected, found = itk_geometry(path), itk_geometry(target)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(target))), MASK)
    assert found[3] == expected[3]
    same_family = suffix[:4] == output[:4] or ("nrrd" in suffix and "nrrd" in output)
    if same_family or output == ".mha":
        assert found == expected  # to the last bit
    elif "nrrd" in output:
        # NRRD stores spacing times direction: dividing them again may change the last bit.
        np.testing.assert_allclose(np.concatenate(found[:3]), np.concatenate(expected[:3]), rtol=1e-14, atol=1e-14)
    else:
        # NIfTI stores 32 bits.
        np.testing.assert_allclose(np.concatenate(found[:3]), np.concatenate(expected[:3]), rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("output", LABELMAP_SUFFIXES)
@pytest.mark.parametrize("spacing", [(0.7, 0.8, 2.5), (0.703125, 0.703125, 1.25)])
def test_an_upright_grid_is_exact_in_all_formats(
    tmp_path: Path, output: str, spacing: tuple[float, float, float]
) -> None:
    path, target = write_with_itk(tmp_path / "ct.nii.gz", CT, spacing), tmp_path / f"liver{output}"
    write_labelmap(MASK, read_volume(path), target)
    assert itk_geometry(target) == itk_geometry(path)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (2, 0), (4, 1), (0, 0)])
def test_nifti_states_its_grid_in_the_inputs_bytes(tmp_path: Path, endian: str, codes: tuple[int, int]) -> None:
    header = nibabel.Nifti1Header(endianness=endian)
    header.set_data_dtype(np.int16)
    header["descrip"] = b"Doe^Jane"
    header["intent_name"] = b"Doe^Jane"
    header.set_xyzt_units("mm", "sec")
    image = nibabel.Nifti1Image(CT.T, None, header)
    affine = np.eye(4)
    affine[:3, :3] = rotation() * (0.7, 0.8, 2.5)
    affine[:3, 3] = (1 / 3, -2 / 7, 1e3 / 9)
    image.header.set_qform(affine, code=codes[0])
    # Another grid, as when a volume was registered: both are kept.
    image.header.set_sform(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, code=codes[1])
    nibabel.save(image, tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    write_labelmap(MASK, volume, tmp_path / "liver.nii.gz")

    before = nibabel.load(tmp_path / "ct.nii.gz").header
    after = nibabel.load(tmp_path / "liver.nii.gz").header
    for name in GEOMETRY:
        expected = before[name][:4] if name == "pixdim" else before[name]
        found = after[name][:4] if name == "pixdim" else after[name]
        np.testing.assert_array_equal(found, expected, err_msg=name)
    assert itk_geometry(tmp_path / "liver.nii.gz") == itk_geometry(tmp_path / "ct.nii.gz")
    content = gzip.decompress((tmp_path / "liver.nii.gz").read_bytes())
    assert b"Doe" not in content
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "liver.nii.gz").dataobj).T, MASK)
    assert after.get_data_dtype() == np.uint8


def test_a_dicom_series_gets_itks_grid(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", CT, positions=np.arange(len(CT)) * 10 / 3)
    volume = read_volume(tmp_path / "dicom")
    write_labelmap(MASK, volume, tmp_path / "liver.nrrd")
    spacing, origin, direction, _ = itk_geometry(tmp_path / "liver.nrrd")
    assert (spacing, origin, direction) == (volume.spacing, volume.origin, tuple(volume.direction.ravel()))


def test_nrrd_in_another_space_is_copied_as_it_stands(tmp_path: Path) -> None:
    header = (
        "NRRD0005\ntype: int16\ndimension: 3\nspace: right-anterior-superior\nsizes: 44 36 10\n"
        "space directions: (-0.7,0,0) (0,-0.8,0) (0,0,2.5)\nkinds: domain domain domain\nendian: little\n"
        "encoding: raw\nspace origin: (10.1,20.2,30.3)\nSite:=A\n\n"
    )
    (tmp_path / "ct.nrrd").write_bytes(header.encode() + CT.astype("<i2").tobytes())
    write_labelmap(MASK, read_volume(tmp_path / "ct.nrrd"), tmp_path / "liver.nrrd")
    written = (tmp_path / "liver.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "space: right-anterior-superior\n" in written
    assert "space origin: (10.1,20.2,30.3)\n" in written
    assert "Site" not in written
    assert itk_geometry(tmp_path / "liver.nrrd") == itk_geometry(tmp_path / "ct.nrrd")


def test_seg_nrrd_says_what_slicer_asks(tmp_path: Path) -> None:
    write_labelmap(MASK, read_volume(_input(tmp_path, ".nii.gz")), tmp_path / "liver.seg.nrrd")
    head, packed = (tmp_path / "liver.seg.nrrd").read_bytes().split(b"\n\n", 1)
    lines = head.decode("ascii").split("\n")
    assert lines[0] == "NRRD0005"
    fields = dict(line.split(": ", 1) for line in lines if ": " in line and ":=" not in line)
    assert fields["type"] == "uint8"
    assert fields["dimension"] == "3"
    assert fields["sizes"] == "44 36 10"
    assert fields["space"] == "left-posterior-superior"
    assert fields["encoding"] == "gzip"
    assert dict(line.split(":=", 1) for line in lines if ":=" in line) == {
        "Segment0_Color": "0.866667 0.509804 0.396078",
        "Segment0_ColorAutoGenerated": "0",
        "Segment0_Extent": "0 43 0 35 0 9",
        "Segment0_ID": "Segment_1",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Name": "liver",
        "Segment0_NameAutoGenerated": "0",
        "Segment0_Tags": "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
        "~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^|",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    assert gzip.decompress(packed) == MASK.tobytes()
    image = sitk.ReadImage(str(tmp_path / "liver.seg.nrrd"))
    assert image.GetMetaData("Segment0_Name") == "liver"


def test_another_segment(tmp_path: Path) -> None:
    tumour = Segment("Segment_2", "tumour", (1, 0, 0), Code("SCT", "1", "A"), Code("SCT", "2", "B"), label_value=2)
    write_labelmap(MASK.astype(bool), read_volume(_input(tmp_path, ".mha")), tmp_path / "t.seg.nrrd", tumour)
    image = sitk.ReadImage(str(tmp_path / "t.seg.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), MASK * 2)
    assert image.GetMetaData("Segment0_LabelValue") == "2"
    assert "~SCT^1^A~SCT^2^B~" in image.GetMetaData("Segment0_Tags")


@pytest.mark.parametrize("output", [*LABELMAP_SUFFIXES, ".SEG.NRRD", ".NII.GZ"])
def test_an_empty_mask_and_one_slice(tmp_path: Path, output: str) -> None:
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", CT[:1]))
    write_labelmap(np.zeros((1, *CT.shape[1:]), np.uint8), volume, tmp_path / f"liver{output}")
    image = sitk.ReadImage(str(tmp_path / f"liver{output}"))
    assert image.GetSize() == (44, 36, 1)
    assert not sitk.GetArrayFromImage(image).any()


@pytest.mark.parametrize("output", LABELMAP_SUFFIXES)
def test_the_same_mask_makes_the_same_file(tmp_path: Path, output: str) -> None:
    volume = read_volume(_input(tmp_path, ".nii.gz"))
    for name in ("a", "b"):
        write_labelmap(MASK, volume, tmp_path / f"{name}{output}")
    assert (tmp_path / f"a{output}").read_bytes() == (tmp_path / f"b{output}").read_bytes()


def test_it_overwrites_and_leaves_nothing_beside(tmp_path: Path) -> None:
    volume = read_volume(_input(tmp_path, ".nii.gz"))
    target = tmp_path / "out" / "liver.nii.gz"
    target.parent.mkdir()
    target.write_text("old")
    write_labelmap(MASK, volume, target)
    assert [path.name for path in target.parent.iterdir()] == ["liver.nii.gz"]
    assert nibabel.load(target).shape == (44, 36, 10)


@pytest.mark.parametrize("output", LABELMAP_SUFFIXES)
def test_a_failure_leaves_the_old_file(tmp_path: Path, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = read_volume(_input(tmp_path, ".nii.gz"))
    target = tmp_path / "out" / f"liver{output}"
    target.parent.mkdir()
    target.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def full_in_itk(*_: object, **__: object) -> None:
        raise RuntimeError("ITK ERROR: not written")

    monkeypatch.setattr(gzip.GzipFile, "write", full)
    monkeypatch.setattr(sitk, "WriteImage", full_in_itk)
    if output == ".nii":  # is not gzipped, and written by neither of the two
        monkeypatch.setattr(np, "ascontiguousarray", full)
    with pytest.raises(InputError, match=r"could not be written"):
        write_labelmap(MASK, volume, target)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert target.read_text() == "old"


@pytest.mark.parametrize("name", ["liver.png", "liver", "liver.gz", "liver.nii.zip", "liver.dcm"])
def test_an_unknown_format_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot be written; use \.nii\.gz, \.nii, \.nrrd, \.mha, \.seg\.nrrd\.$"):
        check_output(tmp_path / name)
    with pytest.raises(InputError, match="cannot be written"):
        write_labelmap(MASK, _volume(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        check_output(tmp_path / "nowhere" / "liver.nii.gz")


def test_a_good_output_is_accepted_without_a_trace(tmp_path: Path) -> None:
    assert check_output(tmp_path / "liver.seg.nrrd") == (tmp_path / "liver.seg.nrrd").resolve()
    assert list(tmp_path.iterdir()) == []


def _volume() -> Volume:
    return Volume(CT, (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), np.eye(3))


def test_a_mask_of_another_shape_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"):
        write_labelmap(MASK[1:], _volume(), tmp_path / "liver.nii.gz", LIVER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("suffix", [".nii", ".nrrd"])
def test_one_body_stored_in_48_ways(
    tmp_path: Path, suffix: str, axes: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    """However it is stored, the axial slices are the same, and their mask lands on the same voxels."""
    spacing_slp = (2.5, 0.8, 0.7)  # of slice, row, col
    stored = CT.transpose(axes)[tuple(slice(None, None, flip) for flip in flips)]
    # Axis n of the stored (k, j, i) array runs along canonical axis axes[n], whose LPS component is 2 - axes[n].
    direction = np.zeros((3, 3))
    for n, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        direction[2 - axis, 2 - n] = flip
    spacing = tuple(spacing_slp[axis] for axis in reversed(axes))
    path = write_with_itk(tmp_path / f"ct{suffix}", np.ascontiguousarray(stored), spacing, direction=direction)

    volume = read_volume(path)
    order = volume.axial_order
    np.testing.assert_array_equal(order.forward(volume.array), CT)
    assert order.spacing(volume.spacing) == pytest.approx(spacing_slp)
    write_labelmap(order.back(MASK), volume, tmp_path / f"liver{suffix}")
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"liver{suffix}")))
    np.testing.assert_array_equal(labels, (stored > 80).astype(np.uint8))
    assert itk_geometry(tmp_path / f"liver{suffix}") == itk_geometry(path)
