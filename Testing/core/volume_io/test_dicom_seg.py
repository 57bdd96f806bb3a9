"""DICOM SEG, Parametric Maps and reports out: on the right images, whosever they are, and valid."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_checks import dicom_errors, entity_errors
from dicom_files import PATIENT, write_enhanced, write_series
from image_files import rotation, write_nifti
from odd_files import CONDITIONS, REFUSED
from real_data import real_data
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.lesions.segments import lesion_segment
from sammix_core.volume.grid import VolumeGrid
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import LIVER, read_volume, segment_of
from sammix_core.volume_io.dicom_map import write_dicom_map
from sammix_core.volume_io.dicom_report import Figures, write_dicom_report
from sammix_core.volume_io.dicom_seg import Algorithm, write_dicom_seg
from sammix_core.volume_io.dicom_source import DicomSource
from sammix_core.volume_io.labelmap_reading import read_labels_on_ct

CT = np.clip(synthetic_ct(), -1024, 3071)
LABELS = ((CT > 80) & (CT < 200)).astype(np.uint8)
LABELS[3:6, 10:16, 14:24] *= 2
LABELS[[0, 9]] = 0
# From the first to the last slice that shows something.
SHOWN = slice(int(np.flatnonzero(LABELS.any((1, 2)))[0]), int(np.flatnonzero(LABELS.any((1, 2)))[-1]) + 1)
MODEL = Algorithm("liver/1.1.0")
SEGMENTS = [LIVER, lesion_segment(2)]
# What a scanner states and the drawn series leave out; dciodvfy wants it of a study.
STUDY = {
    "PatientBirthDate": "19700102",
    "PatientSex": "F",
    "StudyDate": "20240301",
    "StudyTime": "101500.5",
    "StudyID": "77",
    "AccessionNumber": "A1",
    "ReferringPhysicianName": "House^Gregory",
    "SeriesNumber": 4,
}


def _written(volume: Volume, folder: Path, labels: np.ndarray = LABELS) -> hd.seg.Segmentation:
    write_dicom_seg(folder / "liver.seg.dcm", labels, SEGMENTS, DicomSource.of(volume), MODEL)
    return hd.seg.segread(folder / "liver.seg.dcm")


def _planes(seg: pydicom.Dataset) -> dict[tuple[str, int, int], np.ndarray]:
    """Each frame's pixels by the image it refers to, that image's frame, and the segment."""
    frames = {}
    for group, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        frames[source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber", 1), segment] = pixels
    return frames


def test_each_frame_is_that_of_its_image(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "ct", CT, **STUDY)
    seg = _written(read_volume(tmp_path / "ct"), tmp_path)
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
    frames = _planes(seg)
    for k, uid in enumerate(uids):
        for segment in (1, 2):
            expected = LABELS[k] == segment
            np.testing.assert_array_equal(frames.get((uid, 1, segment), np.zeros_like(expected)), expected)
    assert {uid for uid, _, _ in frames} == {uids[k] for k in np.flatnonzero(LABELS.any((1, 2)))}
    by_highdicom = seg.get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(by_highdicom, LABELS)
    assert {item.ReferencedSOPInstanceUID for item in seg.SourceImageSequence} == set(uids)


def test_whose_it_is_and_what_it_says(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", CT, **STUDY)
    seg = _written(read_volume(tmp_path / "ct"), tmp_path)
    assert (seg.PatientName, seg.PatientID, seg.PatientBirthDate, seg.PatientSex) == (PATIENT, "4711", "19700102", "F")
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == ("1.2.3", "1.2.3.8")
    assert (seg.StudyDate, seg.AccessionNumber) == ("20240301", "A1")
    assert seg.SeriesInstanceUID != "1.2.3.4001"
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.4001"
    assert seg.SegmentationType == "BINARY"
    assert seg.SeriesNumber == 1004
    liver, lesion = seg.SegmentSequence
    assert (liver.SegmentLabel, lesion.SegmentLabel) == ("liver", "Lesion 1")
    assert _code(liver.SegmentedPropertyCategoryCodeSequence) == "123037004"
    assert _code(liver.SegmentedPropertyTypeCodeSequence) == _code(liver.AnatomicRegionSequence) == "10200004"
    assert _code(lesion.SegmentedPropertyTypeCodeSequence) == "52988006"
    assert _code(lesion.AnatomicRegionSequence) == "10200004"
    (algorithm,) = liver.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, liver.SegmentAlgorithmType) == ("SAMMix", "AUTOMATIC")
    assert algorithm.AlgorithmParameters == "model=liver/1.1.0,use=research"
    red, green, blue = hd.color.CIELabColor.from_dicom_value(tuple(liver.RecommendedDisplayCIELabValue)).to_rgb()
    assert np.abs(np.array([red, green, blue]) - [221, 130, 101]).max() <= 1


def _code(sequence: pydicom.Sequence) -> str:
    assert sequence[0].CodingSchemeDesignator == "SCT"
    return sequence[0].CodeValue


def test_a_side_is_a_modifier(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", CT)
    source = DicomSource.of(read_volume(tmp_path / "ct"))
    seg = write_dicom_seg(
        tmp_path / "k.dcm", LABELS > 0, [segment_of("left kidney")], source, Algorithm("k/1.0.0", True)
    )
    kidney = seg.SegmentSequence[0]
    assert (
        kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    )
    assert kidney.SegmentAlgorithmType == "SEMIAUTOMATIC"


def _tilted(folder: Path) -> None:
    orientation = tuple(rotation((15.0, 0.0, 0.0))[:, :2].T.ravel())
    write_series(folder, CT, positions=np.arange(len(CT)) * 3.0, orientation=orientation)


def _enhanced(folder: Path) -> None:
    folder.mkdir()
    write_enhanced(folder / "all", CT[::-1], np.arange(len(CT))[::-1] * 1.5)


def _enhanced_files(folder: Path) -> None:
    """One multi-frame file a slice, as some scanners export."""
    folder.mkdir()
    for k, plane in enumerate(CT):
        write_enhanced(folder / f"{9 - k}", plane[None], np.array([k * 1.5]))
        header = pydicom.dcmread(folder / f"{9 - k}")
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.9.{k + 1}"
        header.save_as(folder / f"{9 - k}")


def _turned(folder: Path) -> None:
    axes = rotation((12.0, -7.0, 31.0))
    positions = np.array([-100.3, -120.7, 33.1]) + np.arange(len(CT))[:, None] * 2.5 * axes[:, 2]
    write_series(folder, CT, positions=positions, orientation=tuple(axes[:, :2].T.ravel()))


def _doubled(folder: Path) -> None:
    """An image twice at one place, under two UIDs."""
    for path in write_series(folder / "a", CT)[4:5]:
        copy = pydicom.dcmread(path)
        copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = "1.2.3.777"
        copy.save_as(folder / "copy")


SERIES: dict[str, Callable[[Path], object]] = {
    "out of order": lambda folder: write_series(folder, CT[::-1], positions=np.arange(len(CT))[::-1] * 3.0),
    "uneven": lambda folder: write_series(folder, CT, positions=[0, 2, 4, 6, 8, 14, 16, 18, 20, 22.0]),
    "tilted": _tilted,
    "oblique": _turned,
    "enhanced": _enhanced,
    "enhanced, one frame a file": _enhanced_files,
    "an image twice": _doubled,
}


@pytest.mark.parametrize("kind", SERIES)
def test_masks_come_back_to_the_images_that_they_were_drawn_on(tmp_path: Path, kind: str) -> None:
    SERIES[kind](tmp_path / "ct")
    volume = read_volume(tmp_path / "ct")
    seg = _written(volume, tmp_path)
    # By the images themselves: each mask against the values of the very image that its frame refers to.
    images = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path) for path in _files(tmp_path / "ct")}
    frames = _planes(seg)
    assert len(frames) == sum((segment == LABELS).any((1, 2)).sum() for segment in (1, 2))
    for (uid, number, segment), pixels in frames.items():
        image = images[uid]
        plane = image.pixel_array if image.pixel_array.ndim == 2 else image.pixel_array[number - 1]
        k = int(np.flatnonzero((volume.array == plane.astype(int) - 1024).all((1, 2)))[0])
        np.testing.assert_array_equal(pixels, LABELS[k] == segment)
    for group in seg.PerFrameFunctionalGroupsSequence:
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        image, number = images[source.ReferencedSOPInstanceUID], source.get("ReferencedFrameNumber", 1)
        groups = image.get("PerFrameFunctionalGroupsSequence")
        plane = groups[number - 1].PlanePositionSequence[0] if groups else image
        position = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, plane.ImagePositionPatient, atol=1e-5)
    assert dicom_errors(tmp_path / "liver.seg.dcm") == []


def _is_dicom(name: str) -> bool:
    """Whether a condition of docs/formats/input.md is one of a DICOM series that is read."""
    return CONDITIONS[name].outcome != REFUSED and not re.search(
        "NIfTI|NRRD|MetaImage|HU|affine|stored|NaN|UTF|form|spacing alone", name
    )


@pytest.mark.parametrize("name", [name for name in CONDITIONS if _is_dicom(name)])
def test_a_mask_of_any_series_that_is_read_comes_back(tmp_path: Path, name: str) -> None:
    slab = np.clip(synthetic_ct((4, 96, 96)), -1024, 3071)
    volume = read_volume(CONDITIONS[name].make(tmp_path, slab), **CONDITIONS[name].options)
    labels = np.zeros(volume.shape_kji, np.uint8)
    labels[1:3, 10:40, 20:50] = 1
    labels[2, 15:20, 30:45] = 2
    _written(volume, tmp_path, labels)
    np.testing.assert_array_equal(read_labels_on_ct(tmp_path / "liver.seg.dcm", volume, "a").array, labels)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_a_mask_without_a_voxel_is_a_valid_file(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", CT, **STUDY)
    seg = _written(read_volume(tmp_path / "ct"), tmp_path, np.zeros_like(LABELS))
    assert not seg.pixel_array.any()
    assert dicom_errors(tmp_path / "liver.seg.dcm") == []


def test_twice_the_same_but_for_uids_and_dates(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", CT, **STUDY)
    volume = read_volume(tmp_path / "ct")
    for name in "ab":
        (tmp_path / name).mkdir()
        _everything(volume, tmp_path / name)
    for file in ("seg.dcm", "map.dcm", "sr.dcm"):
        first, second = (_plain(pydicom.dcmread(tmp_path / name / file)) for name in "ab")
        assert first == second
        assert "Doe^Jane" in first


def _plain(dataset: pydicom.Dataset) -> str:
    """A dataset as text, without what may differ."""
    dataset.walk(lambda parent, element: _blank(element))
    return dataset.to_json()


def _blank(element: pydicom.DataElement) -> None:
    if element.VR in ("UI", "DA", "TM", "DT") and element.keyword not in (
        "SOPClassUID",
        "StudyInstanceUID",
        "StudyDate",
    ):
        element.value = None


def _everything(volume: Volume, folder: Path) -> None:
    source = DicomSource.of(volume)
    seg = write_dicom_seg(folder / "seg.dcm", LABELS, SEGMENTS, source, MODEL)
    write_dicom_map(folder / "map.dcm", LABELS * 40, source, MODEL)
    figures = [
        Figures(LIVER, 12.3456, 101.25),
        Figures(SEGMENTS[1], 1.5, -3.0, 8.06, ((14, 12, 4), (23, 12, 4))),
    ]
    write_dicom_report(folder / "sr.dcm", figures, seg, source, MODEL, whole=Figures(LIVER, 13.8456, 90.0))


def test_the_report_has_the_figures_of_each_segment(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "ct", CT, **STUDY)
    _everything(read_volume(tmp_path / "ct"), tmp_path)
    report, seg = hd.sr.srread(tmp_path / "sr.dcm"), pydicom.dcmread(tmp_path / "seg.dcm")
    assert (report.PatientID, report.StudyInstanceUID) == ("4711", "1.2.3")
    groups = report.content.get_volumetric_roi_measurement_groups()
    found = [
        [(one.name.value, float(one.value), one.unit.value) for one in group.get_measurements()] for group in groups
    ]
    assert found == [
        [("118565006", 12.346, "ml"), ("112031", 101.25, "[hnsf'U]")],
        [("118565006", 1.5, "ml"), ("112031", -3.0, "[hnsf'U]"), ("103339001", 8.06, "mm")],
    ]
    for number, group in enumerate(groups, start=1):
        assert group.tracking_uid == seg.SegmentSequence[number - 1].TrackingUID
        assert group.referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert list(group.referenced_segment.referenced_segment_numbers) == [number]
    line, whole = report.content.get_image_measurement_groups()
    assert [float(one.value) for one in whole.get_measurements()] == [13.846, 90.0]
    (diameter,) = line.get_measurements()
    (coordinates,) = diameter.referenced_coordinates
    # From the outer edge of the first voxel to that of the last, in DICOM's pixels; on the image of slice 4.
    np.testing.assert_allclose(coordinates.value, [(14.0, 12.5), (24.0, 12.5)])
    image = coordinates.ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == pydicom.dcmread(paths[4]).SOPInstanceUID


def test_the_map_has_the_percentages_of_each_image(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "ct", CT, **STUDY)
    _everything(read_volume(tmp_path / "ct"), tmp_path)
    found = pydicom.dcmread(tmp_path / "map.dcm")
    assert found.pixel_array.dtype == np.float32
    images = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
    uids = [
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for group in found.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(uids) == images[SHOWN]
    for uid, percent in zip(uids, found.pixel_array, strict=True):
        np.testing.assert_array_equal(percent, LABELS[images.index(uid)] * 40)
    mapping = found.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "%"
    # Beside the CT it is no second CT.
    (tmp_path / "map.dcm").rename(tmp_path / "ct" / "map.dcm")
    (tmp_path / "seg.dcm").rename(tmp_path / "ct" / "seg.dcm")
    (tmp_path / "sr.dcm").rename(tmp_path / "ct" / "sr.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").array, CT)


def test_dicom3tools_finds_no_error(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", CT, **STUDY)
    _everything(read_volume(tmp_path / "ct"), tmp_path)
    results = [tmp_path / name for name in ("seg.dcm", "map.dcm", "sr.dcm")]
    assert dicom_errors(*results) == []
    assert entity_errors(*results, *_files(tmp_path / "ct")) == []


def test_names_of_all_scripts_survive(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", CT, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg")
    assert str(_written(read_volume(tmp_path / "ct"), tmp_path).PatientName) == "Müller^Jörg"


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_odd_values_of_the_patient_are_left_empty(tmp_path: Path) -> None:
    odd = {"PatientBirthDate": "1970", "PatientSex": "X", "StudyDate": "yesterday", "StudyTime": "noon"}
    write_series(tmp_path / "ct", CT, **odd, PatientAge="old")
    seg = _written(read_volume(tmp_path / "ct"), tmp_path)
    assert [seg.get(keyword) or "" for keyword in odd] == ["", "", "", ""]
    assert seg.PatientID == "4711"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"])
def test_images_without_their_uids_are_refused(tmp_path: Path, keyword: str) -> None:
    write_series(tmp_path / "ct", CT, **{keyword: ""})
    with pytest.raises(InputError, match=r"have no .* UID .*write a \.nii\.gz"):
        DicomSource.of(read_volume(tmp_path / "ct"))


def test_an_emptied_sop_instance_uid_is_that_of_the_preamble(tmp_path: Path) -> None:
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in write_series(tmp_path / "a", CT)]
    write_series(tmp_path / "ct", CT, SOPInstanceUID="", SOPClassUID="")
    source = DicomSource.of(read_volume(tmp_path / "ct"))
    assert [frame.instance_uid for frame in source.frames] == uids


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
def test_labels_on_a_turned_grid_come_back_to_the_series(tmp_path: Path, flips: tuple[int, ...]) -> None:
    """As 3D Slicer keeps some series: slices, rows or columns the other way round."""
    paths = write_series(tmp_path / "ct", CT)
    source = DicomSource.of_files(paths[::-1])
    volume = read_volume(tmp_path / "ct")
    turn = np.eye(4)
    for axis in flips:
        turn[2 - axis, 2 - axis], turn[2 - axis, 3] = -1, LABELS.shape[axis] - 1
    grid = VolumeGrid.from_ras(LABELS.shape, volume.ijk_to_ras @ turn)
    np.testing.assert_array_equal(source.in_order(np.flip(LABELS, flips), grid), LABELS)
    shifted = volume.ijk_to_ras.copy()
    shifted[0, 3] += 0.2
    with pytest.raises(InputError, match="no longer has the slices of its DICOM series"):
        source.in_order(LABELS, VolumeGrid.from_ras(LABELS.shape, shifted))


def test_no_dicom_is_refused(tmp_path: Path) -> None:
    volume = read_volume(write_nifti(tmp_path / "ct.nii.gz", CT))
    with pytest.raises(InputError, match="The input is no DICOM"):
        DicomSource.of(volume)


def test_files_that_are_gone_are_said(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "ct", CT)
    volume = read_volume(tmp_path / "ct")
    paths[3].unlink()
    with pytest.raises(InputError, match="cannot be read any more"):
        DicomSource.of(volume)


@pytest.mark.real_data
def test_a_real_series(tmp_path: Path) -> None:
    folder = real_data("totalseg_dicom_slab20")
    with pytest.raises(InputError, match="have no Study Instance UID"):
        DicomSource.of(read_volume(folder))
    (tmp_path / "ct").mkdir()
    for path in _files(folder):
        header = pydicom.dcmread(path)
        header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3.77", "1.2.3.77.1"
        header.save_as(tmp_path / "ct" / path.name)
    volume = read_volume(tmp_path / "ct")
    labels = (np.abs(volume.array - 110) < 30).astype(np.uint8)
    write_dicom_seg(tmp_path / "seg.dcm", labels, [LIVER], DicomSource.of(volume), MODEL)
    uids = [frame.instance_uid for frame in DicomSource.of(volume).frames]
    read = hd.seg.segread(tmp_path / "seg.dcm").get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(read, labels)
    assert dicom_errors(tmp_path / "seg.dcm") == []


def test_slicers_own_reader_finds_the_mask_where_the_ct_lies(tmp_path: Path) -> None:
    """Slicer reads DICOM SEG by its extension QuantitativeReporting; its core reads one segment as a labelmap."""
    slicer = pytest.importorskip("slicer", reason="needs slicer-core, which has no files for this platform")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    write_series(tmp_path / "ct", CT)
    volume = read_volume(tmp_path / "ct")
    write_dicom_seg(tmp_path / "seg.dcm", (LABELS > 0), [LIVER], DicomSource.of(volume), MODEL)
    scene = slicer.vtkMRMLScene()
    node, storage = slicer.vtkMRMLLabelMapVolumeNode(), slicer.vtkMRMLVolumeArchetypeStorageNode()
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "seg.dcm"))
    storage.SetSingleFile(True)
    assert storage.ReadData(node)
    matrix, image = vtkMatrix4x4(), node.GetImageData()
    node.GetIJKToRASMatrix(matrix)
    ijk_to_ras = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    found = np.argwhere(values)[:, ::-1] @ ijk_to_ras[:3, :3].T + ijk_to_ras[:3, 3]
    expected = np.argwhere(LABELS)[:, ::-1] @ volume.ijk_to_ras[:3, :3].T + volume.ijk_to_ras[:3, 3]
    order, other = np.lexsort(np.round(found, 3).T), np.lexsort(np.round(expected, 3).T)
    np.testing.assert_allclose(found[order], expected[other], atol=1e-4)
