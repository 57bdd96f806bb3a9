"""Which way up a patient lies: by the spine first, and by the guidance where that leaves it open."""

from __future__ import annotations

import numpy as np
import pytest
from real_data import real_data

from sammix_core.segmentation.orientation import best_supported_order
from sammix_core.segmentation.spine import spine_row
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume_io import read_volume

ORDER = AxialOrder((2, 1, 0), (False, False, False))


def _abdomen(count: int = 3) -> np.ndarray:
    """(n, 96, 128) HU: a body in air, a spine at its back, and far more contrast medium in front."""
    rows, cols = np.ogrid[:96, :128]
    image = np.full((96, 128), -1000, np.int16)
    image[((rows - 48) / 36) ** 2 + ((cols - 64) / 52) ** 2 < 1] = 50
    image[(rows - 72) ** 2 + (cols - 64) ** 2 < 8**2] = 600
    image[(rows - 30) ** 2 + (cols - 64) ** 2 < 14**2] = 350
    return np.repeat(image[None], count, axis=0)


def test_the_spine_tells_front_from_back() -> None:
    row = spine_row(_abdomen())
    assert row == pytest.approx((72 - 12) / 72, abs=0.03)
    assert spine_row(_abdomen()[:, ::-1]) == pytest.approx(1 - row, abs=0.03)


def test_a_view_within_the_body_shows_no_spine() -> None:
    assert spine_row(_abdomen()[:, 20:80, 30:100]) is None
    assert spine_row(np.full((3, 64, 64), -1000, np.int16)) is None


def test_one_slice_of_several_is_not_enough() -> None:
    slices = _abdomen()
    slices[1:] = np.minimum(slices[1:], 300)
    assert spine_row(slices) is None


@pytest.mark.parametrize(
    ("row_flips", "tried", "found"),
    [((False,), 2, (False, True)), ((True,), 2, (True, False)), ((False, True), 4, (True, False))],
)
def test_only_what_the_spine_leaves_open_is_tried(
    row_flips: tuple[bool, ...], tried: int, found: tuple[bool, bool]
) -> None:
    amounts = {(False, False): 10.0, (False, True): 20.0, (True, False): 50.0, (True, True): 30.0}
    seen = set()

    def support(order: AxialOrder, index: int) -> float:
        seen.add(order.flips[1:])
        return amounts[order.flips[1:]]

    assert best_supported_order(ORDER, 9, row_flips, support).flips[1:] == found
    assert len(seen) == tried


REAL = [
    "acrin_flt_breast_001_abdpelvis_ct", "acrin_flt_breast_013_chest_ct", "amos0001_slab11_ct", "crlm1004_ct",
    "hcc006_portal_ct", "hcc007_plain10mm_ct", "hcc015_arterial_ct", "hcc015_portal_ct", "kits00072_slab_ct",
    "tace1211_ct", "totalseg_dicom_slab20", "totalseg_example_ct",
]  # fmt: skip


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_the_spine_of_real_patients_is_at_the_back(name: str) -> None:
    volume = read_volume(real_data(name if "dicom" in name else f"{name}.nii.gz"))
    axial = volume.axial_order.forward(volume.array)
    sampled = axial[(np.linspace(0.15, 0.85, 5) * (len(axial) - 1)).round().astype(int)]
    row = spine_row(sampled)
    assert row is not None
    assert 0.58 < row < 0.9
    flipped = spine_row(sampled[:, ::-1])
    assert flipped is not None
    assert flipped < 0.42
