"""DICOM SEG and RTSTRUCT in: on the CT's voxels, segments by name, and what belongs to another scan refused."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_files import SPACING_COLS, SPACING_ROWS, write_enhanced, write_series
from dicom_masks import write_rtstruct
from image_files import rotation, write_nifti
from pydicom.sr.codedict import codes
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.evaluation import evaluate_files
from sammix_core.lesions.segments import lesion_segment
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import LIVER, read_volume, write_labelmap
from sammix_core.volume_io.dicom_seg import Algorithm, write_dicom_seg
from sammix_core.volume_io.dicom_source import DicomSource
from sammix_core.volume_io.labelmap_reading import read_labelmap, read_labels_on_ct

CT = np.clip(synthetic_ct(), -1024, 3071)
LABELS = np.zeros(CT.shape, np.uint8)
LABELS[2:8, 5:30, 6:40] = 1
LABELS[4:6, 10:16, 14:24] = 2
HEIGHTS = np.arange(len(CT)) * 2.5


def a_seg(volume: Volume, path: Path, labels: np.ndarray = LABELS) -> Path:
    source = DicomSource.of(volume)
    write_dicom_seg(path, labels, [LIVER, lesion_segment(2)], source, Algorithm("liver/1.1.0"))
    return path


def a_square(k: int, columns: tuple[float, float], rows: tuple[float, float]) -> np.ndarray:
    """A contour round pixels of slice k, from centre to centre of the outermost ones and half a pixel more."""
    (left, right), (top, bottom) = columns, rows
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.array([(-100 + x * SPACING_COLS, -120 + y * SPACING_ROWS, HEIGHTS[k]) for x, y in corners])


# LABELS as contours: round the liver, and round the lesion within it.
LIVER_CONTOURS = [a_square(k, (5.5, 39.5), (4.5, 29.5)) for k in range(2, 8)]
LESION_CONTOURS = [a_square(k, (13.5, 23.5), (9.5, 15.5)) for k in (4, 5)]
BODY_CONTOURS = [a_square(k, (-0.5, 43.5), (-0.5, 35.5)) for k in range(len(CT))]


def the_ct(folder: Path) -> Volume:
    write_series(folder / "ct", CT)
    return read_volume(folder / "ct")


# ------------------------------------------------------------------------------------------------------------------ SEG


def test_a_seg_lies_on_its_ct(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    found = read_labels_on_ct(a_seg(volume, tmp_path / "seg.dcm"), volume, "a")
    np.testing.assert_array_equal(found.array, LABELS)
    assert found.segment_names == {1: "liver", 2: "Lesion 1"}
    assert found.label_of("LESION 1") == found.label_of("2") == found.label_of(2) == 2
    with pytest.raises(InputError, match=r"seg\.dcm has no segment named spleen; it has 1 \(liver\), 2 \(Lesion 1\)"):
        found.label_of("spleen")


@pytest.mark.parametrize("kind", ["uneven", "tilted", "enhanced"])
def test_a_seg_lies_on_slices_that_are_no_even_grid(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "ct"
    if kind == "uneven":
        write_series(folder, CT, positions=[0, 2, 4, 6, 8, 13.1, 16, 18, 20, 22.0])
    elif kind == "tilted":
        orientation = tuple(rotation((15.0, 0.0, 0.0))[:, :2].T.ravel())
        write_series(folder, CT, positions=np.arange(len(CT)) * 3.0, orientation=orientation)
    else:
        folder.mkdir()
        write_enhanced(folder / "all", CT[::-1], np.arange(len(CT))[::-1] * 1.5)
    volume = read_volume(folder)
    path = a_seg(volume, tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_labels_on_ct(path, volume, "a").array, LABELS)
    scores = evaluate_files(path, path, "liver", ct=folder)
    assert (scores.dice, scores.prediction_voxels) == (1.0, int((LABELS == 1).sum()))
    if kind == "enhanced":
        assert evaluate_files(path, path).dice == 1.0
    else:
        with pytest.raises(InputError, match=r"unevenly spaced or lean.* name that CT"):
            read_labelmap(path)


def test_a_seg_and_a_nifti_mask_of_one_ct_score_each_other(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    seg = a_seg(volume, tmp_path / "seg.dcm")
    write_labelmap(LABELS, volume, tmp_path / "mask.nii.gz")
    assert evaluate_files(tmp_path / "mask.nii.gz", seg).dice == 1.0
    assert evaluate_files(seg, tmp_path / "mask.nii.gz").dice == 1.0
    scores = evaluate_files(tmp_path / "mask.nii.gz", seg, "Lesion 1")
    assert scores.reference_voxels == int((LABELS == 2).sum())
    # A CT that is no DICOM any more has the same voxels.
    write_nifti(tmp_path / "ct.nii.gz", CT, volume.ijk_to_ras)
    copy = read_volume(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(read_labels_on_ct(seg, copy, "a").array, LABELS)


def test_two_segs_that_leave_out_different_slices_score_each_other(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    higher, lower = LABELS.copy(), LABELS.copy()
    higher[:5] = 0
    lower[5:] = 0
    lower[4] = 0
    first, second = a_seg(volume, tmp_path / "high.dcm", higher), a_seg(volume, tmp_path / "low.dcm", lower)
    scores = evaluate_files(first, second)
    assert scores.dice == 0.0
    assert (scores.prediction_voxels, scores.reference_voxels) == (int((higher > 0).sum()), int((lower > 0).sum()))
    whole = a_seg(volume, tmp_path / "whole.dcm")
    assert evaluate_files(whole, first).dice == pytest.approx(2 * 850 * 3 / (850 * 3 + 850 * 6))


def a_seg_by_others(volume: Volume, path: Path, kind: str, masks: np.ndarray) -> Path:
    """A SEG with overlapping, fractional or labelmap segments, as other software writes them."""
    described = [
        hd.seg.SegmentDescription(number, name, codes.SCT.Organ, codes.SCT.Liver, "MANUAL")
        for number, name in ((1, "liver"), (2, "tumour"))
    ]
    seg = hd.seg.Segmentation(
        DicomSource.of(volume).images, masks, kind, described, hd.UID(), 1, hd.UID(), 1, "A", "B", "1", "2"
    )
    DicomSource.of(volume).refer(seg)
    seg.save_as(path)
    return path


def test_an_organ_is_whole_under_the_segment_that_lies_in_it(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    masks = np.stack([LABELS > 0, LABELS == 2], axis=-1).astype(np.uint8)
    path = a_seg_by_others(volume, tmp_path / "seg.dcm", "BINARY", masks)
    found = read_labels_on_ct(path, volume, "a")
    np.testing.assert_array_equal(found.array, LABELS)
    np.testing.assert_array_equal(found.mask(1), LABELS > 0)
    np.testing.assert_array_equal(found.mask(2), LABELS == 2)
    assert evaluate_files(path, path, "liver").reference_voxels == int((LABELS > 0).sum())


def test_fractional_and_labelmap_segmentations(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    shares = np.stack([(LABELS == 1) * 0.5 + (LABELS == 2) * 0.4, (LABELS == 2) * 1.0], axis=-1)
    path = a_seg_by_others(volume, tmp_path / "shares.dcm", "FRACTIONAL", shares)
    np.testing.assert_array_equal(read_labels_on_ct(path, volume, "a").array, LABELS)
    path = a_seg_by_others(volume, tmp_path / "labels.dcm", "LABELMAP", LABELS)
    np.testing.assert_array_equal(read_labels_on_ct(path, volume, "a").array, LABELS)


def test_frames_of_odd_sizes_are_unpacked_one_by_one(tmp_path: Path) -> None:
    """35 x 43 pixels are no whole bytes, so that a frame begins within one."""
    write_series(tmp_path / "ct", CT[:, :35, :43])
    volume = read_volume(tmp_path / "ct")
    labels = np.ascontiguousarray(LABELS[:, :35, :43])
    path = a_seg(volume, tmp_path / "seg.dcm", labels)
    np.testing.assert_array_equal(read_labels_on_ct(path, volume, "a").array, labels)


# ------------------------------------------------------------------------------------------------------------- RTSTRUCT


def test_contours_are_filled_on_the_slices_of_the_ct(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    structures = {"BODY": BODY_CONTOURS, "Liver": LIVER_CONTOURS, "GTV": LESION_CONTOURS}
    path = write_rtstruct(tmp_path / "rt.dcm", structures)
    found = read_labels_on_ct(path, volume, "a")
    assert found.segment_names == {1: "BODY", 2: "Liver", 3: "GTV"}
    np.testing.assert_array_equal(found.mask(found.label_of("liver")), LABELS > 0)
    np.testing.assert_array_equal(found.mask(found.label_of("gtv")), LABELS == 2)
    np.testing.assert_array_equal(found.mask(1), np.ones(CT.shape, bool))
    np.testing.assert_array_equal(found.array, np.where(LABELS == 2, 3, np.where(LABELS == 1, 2, 1)))


def test_a_contour_within_another_is_a_hole(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    path = write_rtstruct(tmp_path / "rt.dcm", {"Liver": [*LIVER_CONTOURS, *LESION_CONTOURS]})
    np.testing.assert_array_equal(read_labels_on_ct(path, volume, "a").array, LABELS == 1)


def test_contours_lie_on_leaning_slices(tmp_path: Path) -> None:
    """Each slice of a tilted gantry is a plane of its own, which the straightened grid does not know."""
    axes = rotation((15.0, 0.0, 0.0))
    positions = np.column_stack([np.full(10, -100.0), np.full(10, -120.0), np.arange(10) * 3.0])
    write_series(tmp_path / "ct", CT, positions=positions, orientation=tuple(axes[:, :2].T.ravel()))
    volume = read_volume(tmp_path / "ct")
    pixels = [(5.5, 4.5), (39.5, 4.5), (39.5, 29.5), (5.5, 29.5)]
    contours = [
        np.array([positions[k] + x * SPACING_COLS * axes[:, 0] + y * SPACING_ROWS * axes[:, 1] for x, y in pixels])
        for k in range(2, 8)
    ]
    path = write_rtstruct(tmp_path / "rt.dcm", {"Liver": contours})
    np.testing.assert_array_equal(read_labels_on_ct(path, volume, "a").array, LABELS > 0)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_contours_lie_on_a_mask_in_any_order_of_axes(tmp_path: Path, axes: tuple[int, ...]) -> None:
    volume = the_ct(tmp_path)
    turned = np.transpose(LABELS, [2 - axis for axis in axes][::-1])[::-1]
    steps = volume.ijk_to_ras[:3, :3][:, list(axes)]
    affine = np.eye(4)
    affine[:3, :3] = steps * [1, 1, -1]
    affine[:3, 3] = volume.ijk_to_ras[:3, 3] + steps[:, 2] * (turned.shape[0] - 1)
    mask = write_nifti(tmp_path / "mask.nii.gz", turned, affine)
    path = write_rtstruct(tmp_path / "rt.dcm", {"Liver": LIVER_CONTOURS, "GTV": LESION_CONTOURS})
    scores = evaluate_files(mask, path, "liver")
    assert (scores.dice, scores.reference_voxels) == (1.0, int((LABELS > 0).sum()))


def test_two_rtstruct_need_their_ct(tmp_path: Path) -> None:
    the_ct(tmp_path)
    path = write_rtstruct(tmp_path / "rt.dcm", {"Liver": LIVER_CONTOURS})
    with pytest.raises(InputError, match="contours without a grid; name the CT"):
        evaluate_files(path, path)
    assert evaluate_files(path, path, ct=tmp_path / "ct").dice == 1.0


def test_points_and_lines_are_no_area(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    path = write_rtstruct(tmp_path / "rt.dcm", {"Liver": LIVER_CONTOURS, "Marker": [LIVER_CONTOURS[0]]})
    header = pydicom.dcmread(path)
    header.ROIContourSequence[1].ContourSequence[0].ContourGeometricType = "POINT"
    header.save_as(path)
    found = read_labels_on_ct(path, volume, "a")
    np.testing.assert_array_equal(found.array, LABELS > 0)
    assert found.labels() == [1]


# -------------------------------------------------------------------------------------------------------------- refused


def _with(path: Path, **tags: object) -> Path:
    header = pydicom.dcmread(path)
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    header.save_as(path)
    return path


def test_another_frame_of_reference_and_another_series_are_refused(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    write_series(tmp_path / "later", CT, uid="1.2.3.4002", FrameOfReferenceUID="1.2.3.9")
    write_series(tmp_path / "venous", CT, uid="1.2.3.4003")
    later, venous = read_volume(tmp_path / "later"), read_volume(tmp_path / "venous")
    seg, other = a_seg(volume, tmp_path / "seg.dcm"), a_seg(later, tmp_path / "later.dcm")
    contours = write_rtstruct(tmp_path / "rt.dcm", {"Liver": LIVER_CONTOURS})
    for path in (seg, contours):
        with pytest.raises(InputError, match=f"{path.name} lies in another frame of reference than the CT of a"):
            read_labels_on_ct(path, later, "a")
        with pytest.raises(InputError, match=f"{path.name} was drawn on another series than the CT of a"):
            read_labels_on_ct(path, venous, "a")
    with pytest.raises(InputError, match="lie in different frames of reference"):
        evaluate_files(seg, other)
    with pytest.raises(InputError, match="were drawn on different series"):
        evaluate_files(seg, a_seg(venous, tmp_path / "venous.dcm"))


def test_contours_beside_the_slices_are_refused(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    path = write_rtstruct(tmp_path / "rt.dcm", {"Liver": [points + np.array([0, 0, 1.0]) for points in LIVER_CONTOURS]})
    with pytest.raises(InputError, match=r"do not lie on the slices of a \(up to 1\.0 mm beside them\)"):
        read_labels_on_ct(path, volume, "a")


def test_a_seg_of_another_grid_is_refused(tmp_path: Path) -> None:
    volume = the_ct(tmp_path)
    write_series(tmp_path / "thin", CT, positions=np.arange(len(CT)) * 2.0)
    seg = a_seg(read_volume(tmp_path / "thin"), tmp_path / "seg.dcm")
    with pytest.raises(InputError, match="lie on different grids"):
        read_labels_on_ct(seg, volume, "a")


def test_bytes_changed_anywhere_end_in_one_sentence_or_in_labels(tmp_path: Path) -> None:
    volume, rng = the_ct(tmp_path), np.random.default_rng(7)
    sources = [
        a_seg(volume, tmp_path / "seg.dcm").read_bytes(),
        write_rtstruct(tmp_path / "rt.dcm", {"Liver": LIVER_CONTOURS, "GTV": LESION_CONTOURS}).read_bytes(),
    ]
    sentences = []
    for trial in range(80):
        damaged = bytearray(sources[trial % 2])
        for place in rng.integers(132, min(len(damaged), 9000), 5):
            damaged[place] = rng.integers(256)
        (tmp_path / "damaged.dcm").write_bytes(damaged)
        try:
            assert read_labels_on_ct(tmp_path / "damaged.dcm", volume, "a").array.shape == CT.shape
        except InputError as error:
            sentences.append(str(error))
    assert len(sentences) > 20
    assert not any("\n" in sentence for sentence in sentences)


def test_other_dicom_and_damaged_files_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    paths = write_series(tmp_path / "ct", CT)
    volume = read_volume(tmp_path / "ct")
    with pytest.raises(InputError, match=r"is DICOM \(CT\), but no segmentation"):
        read_labels_on_ct(paths[0], volume, "a")
    seg = a_seg(volume, tmp_path / "seg.dcm")
    whole = seg.read_bytes()
    for share in (0.97, 0.6, 0.3):
        (tmp_path / "cut.dcm").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=r"cut\.dcm (is a damaged|has damaged|is DICOM)"):
            read_labels_on_ct(tmp_path / "cut.dcm", volume, "a")
    with pytest.raises(InputError, match="holds no closed contour"):
        read_labels_on_ct(write_rtstruct(tmp_path / "rt.dcm", {"Liver": []}), volume, "a")
    numberless = _with(write_rtstruct(tmp_path / "rt.dcm", {"Liver": LIVER_CONTOURS}))
    header = pydicom.dcmread(numberless)
    header.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2"]
    header.save_as(numberless)
    with pytest.raises(InputError, match=r"rt\.dcm is a damaged RTSTRUCT"):
        read_labels_on_ct(numberless, volume, "a")
    assert capfd.readouterr() == ("", "")
