"""Labelmaps in: as 3D Slicer writes segmentations, and in another order of axes than the CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import write_nifti, write_with_itk
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
SPACING, ORIGIN = (0.7, 0.8, 2.5), (-101.3, -120.7, 33.1)


def write_segmentation(
    path: Path,
    layers: list[np.ndarray],
    segments: list[tuple[str, int, int]],
    crop: tuple[slice, slice, slice] = (slice(None), slice(None), slice(None)),
) -> Path:
    """Writes a .seg.nrrd as 3D Slicer does: layers first, only the part with segments.

    Args:
        path: The file.
        layers: (k, j, i) labels each.
        segments: Name, layer and label.
        crop: Which k, j and i are written.
    """
    origin = [start + step * (part.start or 0) for start, step, part in zip(ORIGIN, SPACING, crop[::-1], strict=True)]
    cropped = [np.ascontiguousarray(layer[crop]).astype(np.uint8) for layer in layers]
    n_k, n_j, n_i = cropped[0].shape
    directions = "(0.7,0,0) (0,0.8,0) (0,0,2.5)"
    several = len(layers) > 1
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' if several else ''}{n_i} {n_j} {n_k}",
        f"space directions: {'none ' if several else ''}{directions}",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: raw",
        f"space origin: ({','.join(str(float(part)) for part in origin)})",
    ]
    for number, (name, layer, label) in enumerate(segments):
        values = {"ID": f"Segment_{number + 1}", "Name": name, "Layer": layer, "LabelValue": label}
        lines += [f"Segment{number}_{key}:={value}" for key, value in values.items()]
    lines.append("Segmentation_MasterRepresentation:=Binary labelmap")
    data = np.stack(cropped, axis=-1) if several else cropped[0]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data.tobytes())
    return path


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
