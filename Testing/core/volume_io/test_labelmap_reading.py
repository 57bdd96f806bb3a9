"""Labelmaps in: as 3D Slicer writes segmentations, and in another order of axes than the CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import ORIGIN, SPACING, write_nifti, write_segmentation, write_with_itk
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.evaluation import evaluate_files
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap import placed_on_ct
from sammix_core.volume_io.labelmap_reading import read_labelmap

CT = synthetic_ct()
LIVER = (CT > 80) & (CT < 200)
TUMOUR = LIVER & (np.indices(CT.shape)[2] < 12)
SPLEEN = np.roll(LIVER, 18, axis=2) & ~LIVER


def the_ct(folder: Path):
    return read_volume(write_with_itk(folder / "ct.nrrd", CT, SPACING, ORIGIN))


def test_layers_of_overlapping_segments_are_read_by_name(tmp_path: Path) -> None:
    path = write_segmentation(
        tmp_path / "a.seg.nrrd",
        [LIVER * 1 + SPLEEN * 2, TUMOUR * 1],
        [("liver", 0, 1), ("spleen", 0, 2), ("tumour", 1, 1)],
    )
    labelmap = read_labelmap(path)
    assert labelmap.segment_names == {1: "liver", 2: "spleen", 3: "tumour"}
    np.testing.assert_array_equal(labelmap.array, np.where(TUMOUR, 3, LIVER * 1 + SPLEEN * 2))
    for name, expected in (("liver", LIVER), (1, LIVER), ("Tumour", TUMOUR), ("3", TUMOUR), ("spleen", SPLEEN)):
        np.testing.assert_array_equal(labelmap.mask(labelmap.label_of(name)), expected)


def test_what_is_covered_stays_whole_when_it_is_placed_on_the_ct(tmp_path: Path) -> None:
    crop = tuple(slice(hits.min(), hits.max() + 1) for hits in np.nonzero(LIVER))
    segments = [("liver", 0, 1), ("all of it", 1, 1)]
    path = write_segmentation(tmp_path / "a.seg.nrrd", [LIVER * 1, LIVER * 1], segments, crop)
    labelmap = placed_on_ct(read_labelmap(path), the_ct(tmp_path), "a")
    assert labelmap.labels() == [1, 2]
    for name in ("liver", "all of it"):
        np.testing.assert_array_equal(labelmap.mask(labelmap.label_of(name)), LIVER)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("kidney", r"a\.seg\.nrrd has no segment named kidney; it has 1 \(liver\), 4 \(tumour\), 7 \(tumour\)\."),
        ("tumour", r"has several segments named tumour \(4, 7\); give the number"),
        ("3", r"a\.seg\.nrrd has no label 3; it has 1 \(liver\), 4 \(tumour\), 7 \(tumour\)\."),
        (0, "background"),
    ],
)
def test_a_label_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, name: int | str, sentence: str
) -> None:
    segments = [("liver", 0, 1), ("tumour", 0, 4), ("tumour", 0, 7)]
    labelmap = read_labelmap(write_segmentation(tmp_path / "a.seg.nrrd", [LIVER * 1 + TUMOUR * 3], segments))
    with pytest.raises(InputError, match=sentence):
        labelmap.label_of(name)


def test_a_labelmap_without_names_takes_numbers_alone(tmp_path: Path) -> None:
    labelmap = read_labelmap(write_nifti(tmp_path / "labels.nii.gz", (LIVER * 1 + TUMOUR * 1).astype(np.uint8)))
    with pytest.raises(InputError, match=r"names no segments, so give a number; it has 1, 2\."):
        labelmap.label_of("liver")
    np.testing.assert_array_equal(labelmap.mask(None), LIVER)


def test_scores_of_one_segment_by_its_name(tmp_path: Path) -> None:
    reference = write_segmentation(
        tmp_path / "ref.seg.nrrd", [LIVER * 1, TUMOUR * 1], [("liver", 0, 1), ("tumour", 1, 1)]
    )
    plain = write_with_itk(tmp_path / "liver.nrrd", LIVER.astype(np.uint8), SPACING, ORIGIN)
    assert evaluate_files(plain, reference, label="liver").dice == 1.0
    assert evaluate_files(reference, reference, label="tumour").reference_voxels == TUMOUR.sum()
    other = write_segmentation(
        tmp_path / "pred.seg.nrrd", [LIVER * 5 + SPLEEN * 1], [("spleen", 0, 1), ("Liver", 0, 5)]
    )
    assert evaluate_files(other, reference, label="liver").dice == 1.0
    with pytest.raises(InputError, match=r"no segment named spleen; it has 1 \(liver\), 2 \(tumour\)"):
        evaluate_files(other, reference, label="spleen")


def test_a_cropped_segmentation_lies_on_the_ct(tmp_path: Path) -> None:
    crop = tuple(slice(hits.min(), hits.max() + 1) for hits in np.nonzero(LIVER))
    path = write_segmentation(tmp_path / "a.seg.nrrd", [LIVER * 1], [("liver", 0, 1)], crop)
    labelmap = placed_on_ct(read_labelmap(path), the_ct(tmp_path), "a")
    np.testing.assert_array_equal(labelmap.array, LIVER)
    assert labelmap.segment_names == {1: "liver"}


def test_an_empty_segmentation_is_one_voxel_of_background(tmp_path: Path) -> None:
    one = (slice(0, 1), slice(0, 1), slice(0, 1))
    path = write_segmentation(tmp_path / "a.seg.nrrd", [LIVER * 0], [("liver", 0, 1)], one)
    labelmap = placed_on_ct(read_labelmap(path), the_ct(tmp_path), "a")
    assert labelmap.array.shape == CT.shape
    assert not labelmap.array.any()


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("flip", [False, True])
def test_labels_in_another_order_of_axes_lie_on_the_ct(tmp_path: Path, axes: tuple[int, ...], flip: bool) -> None:
    # An LPS volume is turned without a change to where its voxels lie.
    image = sitk.GetImageFromArray(LIVER.astype(np.uint8))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image = sitk.PermuteAxes(image, axes)
    if flip:
        image = sitk.Flip(image, [True, False, True])
    sitk.WriteImage(image, str(tmp_path / "labels.nrrd"))
    placed = placed_on_ct(read_labelmap(tmp_path / "labels.nrrd"), the_ct(tmp_path), "a")
    np.testing.assert_array_equal(placed.array, LIVER)


def test_a_cropped_segmentation_is_scored_against_a_reference_in_another_order(tmp_path: Path) -> None:
    crop = tuple(slice(hits.min(), hits.max() + 1) for hits in np.nonzero(LIVER))
    mine = write_segmentation(tmp_path / "a.seg.nrrd", [LIVER * 1], [("liver", 0, 1)], crop)
    image = sitk.GetImageFromArray(LIVER.astype(np.uint8))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    sitk.WriteImage(sitk.Flip(sitk.PermuteAxes(image, (2, 0, 1)), [True, False, False]), str(tmp_path / "b.nrrd"))
    assert evaluate_files(mine, tmp_path / "b.nrrd").dice == 1.0
    assert evaluate_files(tmp_path / "b.nrrd", mine).dice == 1.0


def test_labels_of_another_place_are_refused(tmp_path: Path) -> None:
    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    affine[:3, 3] = (101.65, 120.7, 33.1)  # half a voxel beside
    labels = write_nifti(tmp_path / "labels.nii.gz", LIVER.astype(np.uint8), affine)
    with pytest.raises(InputError, match="lie on different grids"):
        placed_on_ct(read_labelmap(labels), the_ct(tmp_path), "a")


def test_values_without_segments_are_no_labelmap(tmp_path: Path) -> None:
    path = write_segmentation(tmp_path / "a.nrrd", [LIVER * 1, SPLEEN * 1], [])
    with pytest.raises(InputError, match="names no segments"):
        read_labelmap(path)
