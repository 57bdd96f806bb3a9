"""Volume: geometry, millilitres, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from image_files import rotation

from sammix_core.volume.volume import Volume


def _volume(**changes: object) -> Volume:
    parts = {
        "array": np.zeros((4, 3, 2), np.int16),
        "spacing": (0.5, 2.0, 5.0),
        "origin": (10.0, 20.0, 30.0),
        "direction": np.diag([-1.0, 1.0, 1.0]),
    }
    return Volume(**{**parts, **changes})  # type: ignore[arg-type]


def test_ijk_to_lps_and_ras() -> None:
    volume = _volume()
    assert (volume.ijk_to_lps @ (1, 1, 1, 1)).tolist() == [9.5, 22.0, 35.0, 1.0]
    assert (volume.ijk_to_ras @ (1, 1, 1, 1)).tolist() == [-9.5, -22.0, 35.0, 1.0]
    assert volume.shape_kji == (4, 3, 2)


def test_ijk_to_lps_of_an_oblique_volume() -> None:
    volume = _volume(direction=rotation())
    expected = np.array(volume.origin) + rotation() @ np.array([2 * 0.5, 1 * 2.0, 3 * 5.0])
    np.testing.assert_allclose((volume.ijk_to_lps @ (2, 1, 3, 1))[:3], expected, rtol=1e-12)


def test_mask_volume() -> None:
    mask = np.zeros((4, 3, 2), np.uint8)
    mask[1:3, :, 0] = 1  # 6 voxels of 5 mm3
    assert _volume().mask_volume_ml(mask) == pytest.approx(0.03)
    assert _volume().mask_volume_ml(mask * 7) == pytest.approx(0.03)
    assert _volume(spacing_known=False).mask_volume_ml(mask) is None


def test_mask_volume_of_uneven_slices() -> None:
    volume = _volume(slice_positions_mm=np.array([0.0, 2.0, 6.0, 9.0]))
    thickness = [2.0, 3.0, 3.5, 3.0]  # half ways to the neighbours; the ends have one neighbour on both sides
    for k, expected in enumerate(thickness):
        mask = np.zeros((4, 3, 2), bool)
        mask[k, 0, 0] = True
        assert volume.mask_volume_ml(mask) == pytest.approx(expected * 0.5 * 2.0 / 1000)


def test_mask_volume_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match="shape"):
        _volume().mask_volume_ml(np.zeros((4, 3, 3)))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"array": np.zeros((3, 2), np.int16)}, "array"),
        ({"array": np.zeros((0, 3, 2), np.int16)}, "array"),
        ({"array": np.zeros((4, 3, 2), np.float64)}, "int16 or float32"),
        ({"spacing": (1.0, 0.0, 1.0)}, "spacing"),
        ({"spacing": (1.0, float("nan"), 1.0)}, "spacing"),
        ({"direction": np.ones((3, 3))}, "right angles"),
        ({"direction": 2 * np.eye(3)}, "unit vectors"),
        ({"slice_positions_mm": np.arange(3.0)}, "one slice position a slice"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        _volume(**changes)


def test_repr_is_short() -> None:
    assert len(repr(_volume(array=np.zeros((50, 50, 50), np.int16)))) < 400


def test_importing_volume_loads_numpy_alone() -> None:
    code = (
        "import sys, sammix_core.volume.volume;"
        "print([m for m in ('torch', 'SimpleITK', 'pydicom', 'nibabel', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
