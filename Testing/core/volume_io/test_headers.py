"""Headers of any content: what can be read is read on its own grid, and the rest is refused in one sentence."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from dicom_files import write_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import rotation, write_nifti, write_scaled, write_with_itk
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume, write_labelmap
from sammix_core.volume_io.labelmap import grid_difference
from sammix_core.volume_io.labelmap_reading import read_labelmap

CT = np.clip(synthetic_ct((3, 12, 14)), -1024, 3071)

quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
lengths = st.floats(0.2, 12, allow_nan=False)
places = st.floats(-2000, 2000, allow_nan=False, width=32)
angles = st.floats(-180, 180, allow_nan=False)
anything = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, -1.0, 1e30, float("nan")]))


def _read(path: Path, **options: object) -> Volume | None:
    """The volume, or None where a sentence refuses it."""
    try:
        return read_volume(path, values_are_hu=True, **options)
    except InputError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return None


@quickly
@given(
    spacing=st.tuples(lengths, lengths, lengths),
    place=st.tuples(places, places, places),
    turn=st.tuples(angles, angles, angles),
)
def test_any_rigid_affine_is_read_where_it_is_and_the_mask_lies_on_it(
    spacing: tuple[float, ...], place: tuple[float, ...], turn: tuple[float, float, float]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(turn) * spacing
    affine[:3, 3] = place
    with tempfile.TemporaryDirectory() as folder:
        volume = _read(write_nifti(Path(folder, "ct.nii"), CT, affine))
        assert volume is not None
        np.testing.assert_array_equal(volume.array, CT)
        np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=2e-3)
        write_labelmap((CT > 0).astype(np.uint8), volume, Path(folder, "mask.nii"))
        assert grid_difference(read_labelmap(Path(folder, "mask.nii")), volume) is None


@quickly
@given(rows=st.lists(st.tuples(anything, anything, anything, anything), min_size=3, max_size=3))
def test_any_sform_is_read_or_refused(rows: list[tuple[float, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fields = {f"srow_{axis}": row for axis, row in zip("xyz", rows, strict=True)}
        volume = _read(write_nifti(Path(folder, "ct.nii"), CT, **fields))
        assert volume is None or np.isfinite(volume.ijk_to_ras).all()


@quickly
@given(slope=anything, intercept=anything)
def test_any_rescale_of_a_nifti_gives_finite_numbers(slope: float, intercept: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        volume = _read(write_scaled(Path(folder, "ct.nii"), CT, slope, intercept))
        assert volume is None or np.isfinite(volume.array).all()


@quickly
@given(sizes=st.lists(st.integers(-5, 40_000), min_size=7, max_size=7), count=st.integers(0, 9))
def test_any_size_is_read_or_refused(sizes: list[int], count: int) -> None:
    clipped = [count, *(min(size, 32_767) for size in sizes)]
    with tempfile.TemporaryDirectory() as folder:
        volume = _read(write_nifti(Path(folder, "ct.nii"), CT, dim=clipped))
        assert volume is None or volume.array.size <= CT.size


@quickly
@given(
    heights=st.lists(st.floats(-500, 500, allow_nan=False, width=16), min_size=3, max_size=3),
    pixel=st.tuples(lengths, lengths),
    turn=st.tuples(angles, angles, angles),
)
def test_any_positions_of_a_dicom_series_are_put_in_order_or_refused(
    heights: list[float], pixel: tuple[float, float], turn: tuple[float, float, float]
) -> None:
    axes = rotation(turn)
    positions = np.outer(heights, axes[:, 2])
    with tempfile.TemporaryDirectory() as folder:
        write_series(
            Path(folder),
            CT,
            positions=positions,
            orientation=tuple(axes[:, :2].T.ravel()),
            PixelSpacing=[f"{step:.6g}" for step in pixel],
        )
        volume = _read(Path(folder))
        if volume is None:
            assert np.diff(np.sort(heights)).min() < 0.05  # two images at one place, and not the same
        else:
            np.testing.assert_array_equal(volume.array, CT[np.argsort(heights, kind="stable")])


@quickly
@given(slope=st.floats(-4, 4, allow_nan=False, width=16), intercept=st.integers(-9000, 9000))
def test_any_rescale_of_a_dicom_series_is_applied(slope: float, intercept: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder), CT, RescaleSlope=f"{slope:.8g}", RescaleIntercept=str(intercept))
        volume = _read(Path(folder))
        assert volume is None or np.isfinite(volume.array).all()


@quickly
@given(
    spacing=st.tuples(lengths, lengths, lengths),
    turn=st.tuples(angles, angles, angles),
    suffix=st.sampled_from([".nrrd", ".mha"]),
)
def test_any_direction_of_a_nrrd_or_metaimage_is_read(
    spacing: tuple[float, float, float], turn: tuple[float, float, float], suffix: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_with_itk(Path(folder, f"ct{suffix}"), CT, spacing, direction=rotation(turn))
        volume = _read(path)
        assert volume is not None
        np.testing.assert_allclose(volume.direction, rotation(turn), atol=1e-4)
        np.testing.assert_allclose(volume.spacing, spacing, rtol=1e-4)
