"""The axis along the patient, where a file does not say it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_files import write_nifti
from real_data import real_data

from sammix_core.boxes import Box, BoxTrack
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.grid import VolumeGrid
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.patient_axes import with_patient_axes


def _body() -> np.ndarray:
    """(10, 72, 90) HU: a body in air, of another section on each slice, with fat and muscle."""
    rows, cols = np.ogrid[:72, :90]
    slices = np.full((10, 72, 90), -1000, np.int16)
    for k in range(10):
        radius = ((rows - 36) / (22 + k / 2)) ** 2 + ((cols - 45) / (34 + k / 2)) ** 2
        slices[k][radius < 1] = -100
        slices[k][radius < 0.7] = 60
    return slices + np.random.default_rng(0).integers(-25, 25, slices.shape).astype(np.int16)


def _stored(axial: np.ndarray, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> np.ndarray:
    return np.ascontiguousarray(AxialOrder(axes, flips).back(axial))


def _spacing(axes: tuple[int, int, int]) -> list[float]:
    spacing = [0.0, 0.0, 0.0]
    for axis, mm in zip(axes, (5.0, 4.0, 4.0), strict=True):
        spacing[axis] = mm
    return spacing


@pytest.mark.parametrize("axes", list(itertools.permutations((2, 1, 0))))
@pytest.mark.parametrize("lost", ["orientation", "spacing"])
def test_the_axial_slices_are_found_in_any_order_of_axes(tmp_path: Path, axes: tuple[int, int, int], lost: str) -> None:
    affine = np.diag([*_spacing(axes), 1.0]) if lost == "orientation" else np.eye(4)
    path = write_nifti(tmp_path / "ct.nii", _stored(_body(), axes, (True, False, True)), affine)
    volume = read_volume(path)
    assert volume.axial_order.axes == axes
    along = "ijk"[axes[0]]
    assert any(f"the file's {along} axis runs along the patient" in note for note in volume.notes) == (along != "k")
    np.testing.assert_allclose(np.abs(volume.direction), np.eye(3), err_msg="the header stays as it is")


def test_boxes_of_such_a_volume_fit_it_again(tmp_path: Path) -> None:
    axes = (0, 2, 1)
    stored = _stored(_body(), axes, (False, False, False))
    path = write_nifti(tmp_path / "ct.nii", stored, np.diag([*_spacing(axes), 1.0]))
    volume = read_volume(path)
    grid = VolumeGrid.of(volume)
    assert grid is not None
    assert grid.axial_order.axes == axes
    track = BoxTrack.for_volume(volume, [Box(3, 10, 20, 30, 40)])
    track.write(tmp_path / "boxes.json")
    again, notes = BoxTrack.read(tmp_path / "boxes.json").placed_on(read_volume(path))
    assert [box.edges for box in again[3]] == [(10, 20, 30, 40)]
    assert notes == ()


def test_a_view_within_the_body_says_that_it_is_uncertain() -> None:
    inside = Volume(np.full((8, 9, 10), 50, np.int16), (1.0, 1.0, 1.0), (0.0,) * 3, np.eye(3), orientation_known=False)
    found = with_patient_axes(inside)
    assert found.found_order is None
    assert "do not show for certain" in found.notes[0]


def test_a_stated_orientation_is_never_changed() -> None:
    array = _stored(_body(), (0, 1, 2), (False, False, False))
    stated = Volume(array, (5.0, 4.0, 4.0), (-100.0, 20.0, 3.0), np.eye(3))
    assert with_patient_axes(stated) is stated


REAL = ["acrin_flt_breast_013_chest_ct", "amos0001_slab11_ct", "hcc006_portal_ct", "ircadb17_ct", "kits00072_slab_ct",
        "tace1211_ct", "totalseg_example_ct"]  # fmt: skip


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_real_patients(name: str) -> None:
    volume = read_volume(real_data(f"{name}.nii.gz"))
    axial = volume.axial_order.forward(volume.array)[:, ::4, ::4]
    mm = volume.axial_order.spacing(volume.spacing)
    for axes in itertools.permutations((2, 1, 0)):
        order = AxialOrder((axes[0], axes[1], axes[2]), (False, True, False))
        spacing = [0.0, 0.0, 0.0]
        for axis, step in zip(axes, (mm[0], 4 * mm[1], 4 * mm[2]), strict=True):
            spacing[axis] = step
        array = np.ascontiguousarray(order.back(axial))
        stored = replace(
            volume, array=array, spacing=tuple(spacing), direction=np.eye(3), orientation_known=False, found_order=None,
            slice_positions_mm=None,
        )  # fmt: skip
        assert with_patient_axes(stored).axial_order.axes[0] == axes[0]
