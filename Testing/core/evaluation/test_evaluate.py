"""Scores against cases that can be worked out by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sammix_core.errors import InputError
from sammix_core.evaluation import evaluate_files, score_masks
from sammix_core.volume_io.labelmap_reading import read_labelmap

SPACING_IJK = (0.5, 1.0, 4.0)


def a_cuboid(corner_kji: tuple[int, int, int], size_kji: tuple[int, int, int], label: int = 1) -> np.ndarray:
    array = np.zeros((30, 40, 60), np.uint8)
    array[tuple(slice(low, low + size) for low, size in zip(corner_kji, size_kji, strict=True))] = label
    return array


def a_file(
    path: Path, array: np.ndarray, spacing: tuple[float, float, float] = SPACING_IJK, **geometry: object
) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(geometry.get("origin", (10.0, -20.0, 30.0)))
    image.SetDirection(geometry.get("direction", (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    sitk.WriteImage(image, str(path))
    return path


def test_a_mask_agrees_with_itself() -> None:
    mask = a_cuboid((5, 5, 5), (10, 10, 10))
    scores = score_masks(mask, mask, SPACING_IJK)
    assert (scores.dice, scores.hd95_mm, scores.surface_dice_2mm) == (1.0, 0.0, 1.0)
    assert scores.prediction_ml == pytest.approx(1000 * 2.0 / 1000)
    assert (scores.volume_difference_ml, scores.volume_difference_percent, scores.notes) == (0.0, 0.0, ())


@pytest.mark.parametrize(("axis", "step_mm"), [(0, 4.0), (1, 1.0), (2, 0.5)])
def test_a_shift_along_each_axis_is_as_far_as_its_spacing_says(axis: int, step_mm: float) -> None:
    """Two 10-voxel cubes, 3 voxels apart along one axis: 7 of 10 layers are shared, whole faces lie 3 voxels apart."""
    reference = a_cuboid((8, 8, 8), (10, 10, 10))
    scores = score_masks(np.roll(reference, 3, axis), reference, SPACING_IJK)
    assert scores.dice == pytest.approx(0.7)
    # A face is 100 of the 488 voxels of the cube's surface, so the 95th percentile lies on it: 3 voxels away.
    assert scores.hd95_mm == pytest.approx(3 * step_mm)
    assert scores.volume_difference_ml == 0.0


def test_few_far_voxels_do_not_move_the_95th_percentile() -> None:
    reference = a_cuboid((8, 8, 8), (10, 10, 10))
    prediction = reference.copy()
    prediction[0, 0, 0] = 1
    assert score_masks(prediction, reference, SPACING_IJK).hd95_mm == 0.0


def test_surface_dice_counts_area_within_two_millimetres() -> None:
    """A plate much wider than thick, so that its two faces are nearly all of its surface."""
    plate = np.zeros((12, 80, 80), np.uint8)
    plate[4:7] = 1
    near = score_masks(np.roll(plate, 1, 0), plate, (1.0, 1.0, 1.9))
    far = score_masks(np.roll(plate, 1, 0), plate, (1.0, 1.0, 2.1))
    assert near.surface_dice_2mm == pytest.approx(1.0)
    # Only the rim is still close: 4 edges of 80 mm and 3 voxels, where the two faces have 80 x 80 mm each.
    rim, faces = 4 * 80 * 3 * 2.1, 2 * 80 * 80
    assert far.surface_dice_2mm == pytest.approx(rim / (rim + faces), abs=0.03)


def test_dice_of_different_sizes_and_the_sign_of_the_volume_difference() -> None:
    small, large = a_cuboid((8, 8, 8), (5, 10, 10)), a_cuboid((8, 8, 8), (10, 10, 10))
    scores = score_masks(small, large, SPACING_IJK)
    assert scores.dice == pytest.approx(2 * 500 / 1500)
    assert scores.volume_difference_ml == pytest.approx(-500 * 2.0 / 1000)
    assert scores.volume_difference_percent == pytest.approx(-50.0)


def test_cropping_changes_no_figure() -> None:
    """The same two masks in the corner of a volume and far inside a larger one."""
    rng = np.random.default_rng(0)
    first, second = ((rng.random((7, 9, 11)) < 0.6).astype(np.uint8) for _ in range(2))
    padded = [np.pad(mask, 20) for mask in (first, second)]
    assert score_masks(first, second, SPACING_IJK) == score_masks(*padded, SPACING_IJK)


def test_an_empty_prediction_scores_zero_and_says_why_there_is_no_distance() -> None:
    mask = a_cuboid((5, 5, 5), (10, 10, 10))
    scores = score_masks(np.zeros_like(mask), mask, SPACING_IJK)
    assert (scores.dice, scores.hd95_mm, scores.surface_dice_2mm) == (0.0, None, 0.0)
    assert scores.volume_difference_percent == -100.0
    assert scores.notes == ("The prediction is empty, so there is no surface distance.",)


def test_an_empty_reference_scores_zero_and_has_no_relative_difference() -> None:
    mask = a_cuboid((5, 5, 5), (10, 10, 10))
    scores = score_masks(mask, np.zeros_like(mask), SPACING_IJK)
    assert (scores.dice, scores.hd95_mm, scores.volume_difference_percent) == (0.0, None, None)
    assert scores.volume_difference_ml == pytest.approx(2.0)


def test_two_empty_masks_cannot_be_compared() -> None:
    empty = np.zeros((4, 4, 4), np.uint8)
    scores = score_masks(empty, empty, SPACING_IJK)
    assert (scores.dice, scores.hd95_mm, scores.surface_dice_2mm) == (None, None, None)
    assert scores.notes == ("Both masks are empty, so there is nothing to compare.",)


def test_without_spacing_there_are_no_millimetres_but_dice_and_percent() -> None:
    small, large = a_cuboid((8, 8, 8), (5, 10, 10)), a_cuboid((8, 8, 8), (10, 10, 10))
    scores = score_masks(small, large, None)
    assert scores.dice == pytest.approx(2 / 3)
    assert scores.volume_difference_percent == pytest.approx(-50.0)
    in_mm = (scores.hd95_mm, scores.surface_dice_2mm, scores.prediction_ml, scores.reference_ml)
    assert (*in_mm, scores.volume_difference_ml) == (None,) * 5
    assert not scores.spacing_known


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="different shapes"):
        score_masks(np.zeros((4, 4, 4)), np.zeros((4, 4, 5)), None)


def test_files_of_two_formats_on_one_grid(tmp_path: Path) -> None:
    reference = a_cuboid((8, 8, 8), (10, 10, 10))
    prediction = a_file(tmp_path / "p.nrrd", np.roll(reference, 3, 0))
    scores = evaluate_files(prediction, a_file(tmp_path / "r.nii.gz", reference))
    assert scores.dice == pytest.approx(0.7)
    assert scores.hd95_mm == pytest.approx(12.0)


def test_labels_of_the_reference_are_merged_and_said_or_chosen(tmp_path: Path) -> None:
    liver = a_cuboid((8, 8, 8), (10, 10, 10))
    with_tumour = np.where(a_cuboid((8, 8, 8), (2, 10, 10), 1) == 1, 2, liver)
    prediction, reference = a_file(tmp_path / "p.nii.gz", liver), a_file(tmp_path / "r.nii.gz", with_tumour)
    merged = evaluate_files(prediction, reference)
    assert merged.dice == 1.0
    assert merged.notes == ("The reference r.nii.gz has labels 1, 2, which were merged; --label takes one.",)
    both = evaluate_files(reference, reference)
    assert both.notes[1] == "The prediction r.nii.gz has labels 1, 2, which were merged."
    tumour = evaluate_files(prediction, reference, label=2)
    assert tumour.dice == pytest.approx(2 * 200 / 1200)
    with pytest.raises(InputError, match=r"no label 6; it has 1, 2\."):
        evaluate_files(prediction, reference, label=6)
    with pytest.raises(InputError, match="background"):
        evaluate_files(prediction, reference, label=0)


def test_a_prediction_with_several_labels_is_read_as_the_reference_is(tmp_path: Path) -> None:
    organs = a_cuboid((8, 8, 8), (10, 10, 10), 6) + a_cuboid((20, 8, 8), (5, 10, 10), 3)
    file = a_file(tmp_path / "organs.nii.gz", organs)
    assert evaluate_files(file, file, label=6).dice == 1.0
    assert evaluate_files(file, file, label=6).reference_voxels == 1000


def test_an_empty_reference_takes_any_label(tmp_path: Path) -> None:
    empty = a_file(tmp_path / "r.nii.gz", np.zeros((5, 5, 5), np.uint8))
    assert evaluate_files(empty, empty, label=6).dice is None


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"origin": (10.0, -20.0, 31.0)}, "corners lie up to 1.0 mm apart"),
        ({"direction": (1, 0, 0, 0, -1, 0, 0, 0, -1)}, "corners lie up to"),
        ({"spacing": (0.5, 1.0, 4.1)}, "corners lie up to 2.9 mm apart"),
    ],
)
def test_other_grids_are_refused(tmp_path: Path, geometry: dict, message: str) -> None:
    mask = a_cuboid((8, 8, 8), (10, 10, 10))
    with pytest.raises(InputError, match=f"different grids.*{message}"):
        evaluate_files(a_file(tmp_path / "p.nii.gz", mask, **geometry), a_file(tmp_path / "r.nii.gz", mask))


def test_another_number_of_voxels_is_named(tmp_path: Path) -> None:
    first, second = np.zeros((4, 5, 6), np.uint8), np.zeros((4, 5, 7), np.uint8)
    with pytest.raises(InputError, match=r"p\.nii has 6 x 5 x 4 voxels and r\.nii has 7 x 5 x 4"):
        evaluate_files(a_file(tmp_path / "p.nii", first), a_file(tmp_path / "r.nii", second))


def test_rounding_of_headers_is_no_other_grid(tmp_path: Path) -> None:
    mask = a_cuboid((8, 8, 8), (10, 10, 10))
    third = (1 / 3, 1 / 3, 10 / 3)
    prediction = a_file(tmp_path / "p.nrrd", mask, third, origin=(1000 / 7, -1000 / 3, 1e3 / 9))
    reference = a_file(tmp_path / "r.nii", mask, third, origin=(1000 / 7, -1000 / 3, 1e3 / 9))
    assert evaluate_files(prediction, reference).dice == 1.0


def test_a_nifti_without_a_unit_has_no_known_spacing(tmp_path: Path) -> None:
    import nibabel

    mask = a_cuboid((8, 8, 8), (10, 10, 10)).T
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), tmp_path / "m.nii.gz")
    scores = evaluate_files(tmp_path / "m.nii.gz", tmp_path / "m.nii.gz")
    assert (scores.dice, scores.hd95_mm, scores.spacing_known) == (1.0, None, False)


def test_what_is_no_labelmap_is_refused_with_one_sentence(tmp_path: Path) -> None:
    good = a_file(tmp_path / "good.nii.gz", a_cuboid((8, 8, 8), (10, 10, 10)))
    (tmp_path / "short.nii.gz").write_bytes(good.read_bytes()[:-20])
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"no image at all"))
    (tmp_path / "plain.nii.gz").write_text("no gzip")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "folder.nii").mkdir()
    a_file(tmp_path / "p.nii.gz", np.full((4, 4, 4), 0.5, np.float32))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.uint8)), str(tmp_path / "flat.mha"))
    vector = sitk.GetImageFromArray(np.zeros((4, 4, 4, 3), np.uint8), isVector=True)
    sitk.WriteImage(vector, str(tmp_path / "colour.mha"))
    refused = {
        "absent.nii": "does not exist",
        "short.nii.gz": "cut short or damaged",
        "text.nii.gz": "too short to be a NIfTI",
        "plain.nii.gz": "too short to be a NIfTI",
        "notes.txt": "no labelmap",
        "folder.nii": "is a folder",
        "p.nii.gz": "not whole numbers",
        "flat.mha": "is 2-D",
        "colour.mha": "holds 3 values a voxel",
    }
    for name, message in refused.items():
        with pytest.raises(InputError, match=message) as caught:
            read_labelmap(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_whole_numbers_in_a_float_file_are_labels(tmp_path: Path) -> None:
    mask = a_cuboid((8, 8, 8), (10, 10, 10))
    labelmap = read_labelmap(a_file(tmp_path / "m.nii.gz", mask.astype(np.float32)))
    np.testing.assert_array_equal(labelmap.array, mask)
    assert labelmap.labels() == [1]


DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="real CT is absent (../shared/data)")
def test_amos_liver_by_its_label() -> None:
    file = DATA / "amos0001_slab11_label_amos15.nii.gz"
    scores = evaluate_files(file, file, label=6)
    assert (scores.dice, scores.hd95_mm) == (1.0, 0.0)
    assert 0 < scores.reference_voxels < 11 * 768 * 768 / 5
