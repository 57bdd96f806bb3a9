"""Lesions: components, the longest axial diameter, the table, and scores lesion by lesion."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from fake_network import turned_volume

from sammix_core.errors import InputError
from sammix_core.lesions.components import lesion_components, lesion_labelmap
from sammix_core.lesions.diameter import longest_diameter
from sammix_core.lesions.lesion import report
from sammix_core.lesions.measure import measure_lesions
from sammix_core.lesions.scoring import score_lesions
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

SPACING = (0.8, 0.5, 2.0)


def a_ct(shape: tuple[int, int, int] = (8, 20, 24)) -> Volume:
    array = np.full(shape, 110, np.int16)
    array[:, 0] = -1000
    return Volume(array, SPACING, (0.0, 0.0, 0.0), np.eye(3))


def two_lesions() -> np.ndarray:
    mask = np.zeros((8, 20, 24), np.uint8)
    mask[1, 2:4, 2:4] = 1
    mask[2, 4, 4] = 1  # touches by a corner
    mask[4:7, 10:16, 12:18] = 1
    mask[0, 19, 23] = 1  # a speck of 0.8 mm3
    return mask


def test_components_are_numbered_by_size_and_specks_left_out() -> None:
    found = lesion_components(a_ct(), two_lesions(), min_mm3=3.0)
    assert found.dtype == np.uint8
    assert np.bincount(found.ravel())[1:].tolist() == [108, 5]
    assert found[2, 4, 4] == found[1, 2, 2] == 2
    assert found[0, 19, 23] == 0
    assert np.bincount(lesion_components(a_ct(), two_lesions(), min_mm3=0.0).ravel())[1:].tolist() == [108, 5, 1]
    assert lesion_components(a_ct(), np.zeros((8, 20, 24))).max() == 0


def test_without_a_spacing_nothing_is_too_small() -> None:
    blind = replace(a_ct(), spacing_known=False)
    assert lesion_components(blind, two_lesions()).max() == 3
    first = measure_lesions(blind, lesion_components(blind, two_lesions()))[0]
    assert (first.volume_ml, first.longest_axial_mm, first.measurable) == (None, None, None)
    assert first.mean_hu == 110
    assert report([first])["total_ml"] is None


def test_uneven_slices_count_as_thick_as_they_are() -> None:
    uneven = replace(a_ct(), slice_positions_mm=np.array([0.0, 2, 4, 6, 8, 18, 28, 38]))
    mask = np.zeros((8, 20, 24), np.uint8)
    mask[1, 2:4, 2:5] = 1  # 6 voxels of 0.8 mm3
    mask[6, 2:4, 10:12] = 1  # 4 voxels of 4 mm3
    found = lesion_components(uneven, mask, min_mm3=6.0)
    assert np.bincount(found.ravel())[1:].tolist() == [4]
    assert measure_lesions(uneven, found)[0].volume_ml == pytest.approx(4 * 4 / 1000)


def test_another_grid_is_refused() -> None:
    with pytest.raises(InputError, match="different grids"):
        lesion_components(a_ct(), np.ones((2, 2, 2)))


def test_250_lesions_fit_into_a_labelmap_and_no_more() -> None:
    mask = np.zeros((8, 20, 24), np.uint8)
    mask[::2, ::2, ::2].flat[:250] = 1  # single voxels that do not touch
    assert lesion_components(a_ct(), mask, min_mm3=0.0).max() == 250
    mask[::2, ::2, ::2].flat[250] = 1
    with pytest.raises(InputError, match="251 separate parts; at most 250 lesions"):
        lesion_components(a_ct(), mask, min_mm3=0.0)


def test_a_labelmap_has_liver_and_each_lesion() -> None:
    liver = np.zeros((8, 20, 24), np.uint8)
    liver[3:7, 8:18, 10:20] = 1
    lesions = lesion_components(a_ct(), two_lesions(), min_mm3=3.0)
    labelmap = lesion_labelmap(liver, lesions)
    assert np.bincount(labelmap.ravel())[1:].tolist() == [400 - 108, 108, 5]
    assert labelmap[5, 12, 14] == 2


@pytest.mark.parametrize("angle", [0, 20, 45, 70, 90])
def test_the_longest_diameter_of_an_ellipse(angle: float) -> None:
    row, col = np.meshgrid((np.arange(120) - 60) * 0.5, (np.arange(90) - 45) * 0.8, indexing="ij")
    turn = math.radians(angle)
    along, across = col * math.cos(turn) + row * math.sin(turn), row * math.cos(turn) - col * math.sin(turn)
    axial = np.zeros((3, 120, 90), dtype=bool)
    axial[0] = (along / 5) ** 2 + (across / 5) ** 2 <= 1
    axial[1] = (along / 14) ** 2 + (across / 6) ** 2 <= 1
    found = longest_diameter(axial, (0.5, 0.8))
    assert found is not None
    assert found.slice == 1
    assert found.mm == pytest.approx(28, abs=0.8)
    (r0, c0), (r1, c1) = found.ends
    assert math.hypot((r1 - r0) * 0.5, (c1 - c0) * 0.8) == pytest.approx(found.mm)
    direction = math.degrees(math.atan2((r1 - r0) * 0.5, (c1 - c0) * 0.8)) % 180
    assert min(abs(direction - angle), 180 - abs(direction - angle)) < 6


def test_small_diameters() -> None:
    axial = np.zeros((1, 6, 6), dtype=bool)
    assert longest_diameter(axial, (1.0, 1.0)) is None
    axial[0, 2, 2] = True
    assert longest_diameter(axial, (0.5, 0.8)).mm == pytest.approx(0.8)  # type: ignore[union-attr]
    axial[0, 2, 2:5] = True
    assert longest_diameter(axial, (0.5, 0.8)).mm == pytest.approx(2.4)  # type: ignore[union-attr]


def test_the_table() -> None:
    ct = a_ct()
    ct.array[4:7, 10:16, 12:18] = 55
    large, small = measure_lesions(ct, lesion_components(ct, two_lesions(), min_mm3=3.0))
    assert (large.number, large.name, large.voxels) == (1, "Lesion 1", 108)
    assert large.volume_ml == pytest.approx(108 * 0.8 / 1000)
    assert large.mean_hu == 55
    assert large.centre_ijk == (14.5, 12.5, 5.0)
    assert large.longest_axial_mm == pytest.approx(math.hypot(6 * 0.8, 5 * 0.5))
    assert large.measurable is False
    assert large.diameter_ends_ijk is not None
    assert all(12 <= i <= 17 and 10 <= j <= 15 and 4 <= k <= 6 for i, j, k in large.diameter_ends_ijk)
    table = report([large, small])
    assert table["total_ml"] == pytest.approx(113 * 0.8 / 1000)
    assert json.loads(json.dumps(table, allow_nan=False))["lesions"][1]["name"] == "Lesion 2"


def test_what_recist_can_follow_depends_on_the_slices() -> None:
    for slice_mm, expected in ((2.0, True), (5.0, True), (7.0, False)):
        ct = replace(a_ct(), spacing=(1.0, 1.0, slice_mm))
        mask = np.zeros(ct.array.shape, np.uint8)
        mask[3, 5, 4:16] = 1
        lesion = measure_lesions(ct, lesion_components(ct, mask, 0.0))[0]
        assert lesion.longest_axial_mm == pytest.approx(12.0)
        assert lesion.measurable is expected


@pytest.mark.parametrize(
    "order", [AxialOrder((2, 0, 1), (True, False, True)), AxialOrder((0, 2, 1), (True, True, False))]
)
def test_the_diameter_is_axial_however_the_ct_is_stored(order: AxialOrder) -> None:
    volume = turned_volume(np.full((10, 20, 24), 60, np.int16), order)
    axial = np.zeros((10, 20, 24), dtype=bool)
    axial[1:9, 8, 6] = True  # tall, which no axial slice shows
    axial[4, 8, 6:11] = True
    mask = np.ascontiguousarray(order.back(axial))
    lesion = measure_lesions(volume, lesion_components(volume, mask, 0.0))[0]
    assert lesion.longest_axial_mm == pytest.approx(5 * order.spacing(volume.spacing)[2])
    assert lesion.diameter_ends_ijk is not None
    ends = [order.forward(mask)[np.nonzero(order.forward(_only(mask, ijk)))] for ijk in lesion.diameter_ends_ijk]
    assert all(one.all() and len(one) == 1 for one in ends)
    columns = {int(np.argwhere(order.forward(_only(mask, ijk)))[0][2]) for ijk in lesion.diameter_ends_ijk}
    assert columns == {6, 10}


def _only(mask: np.ndarray, ijk: tuple[int, int, int]) -> np.ndarray:
    one = np.zeros_like(mask)
    one[ijk[::-1]] = True
    return one


def test_lesions_are_scored_one_by_one() -> None:
    reference, found = np.zeros((1, 10, 30), np.uint16), np.zeros((1, 10, 30), np.uint16)
    reference[0, :4, :4] = 1
    reference[0, :4, 10:14] = 2
    reference[0, :4, 20:22] = 3
    found[0, :4, :3] = 2  # IoU 12/16
    found[0, :2, 10:12] = 1  # IoU 4/16
    found[0, 8:, :5] = 3  # nothing there
    loose, strict = score_lesions(found, reference, 0.1), score_lesions(found, reference, 0.5)
    assert (loose.true, loose.hits, loose.false_positives, loose.sensitivity) == (3, 2, 1, pytest.approx(2 / 3))
    assert loose.dice == {1: pytest.approx(24 / 28), 2: pytest.approx(8 / 20)}
    assert (strict.hits, strict.false_positives) == (1, 2)
    nothing = score_lesions(np.zeros_like(found), np.zeros_like(found), 0.1)
    assert (nothing.true, nothing.hits, nothing.false_positives, nothing.sensitivity) == (0, 0, 0, None)
    assert score_lesions(found, np.zeros_like(found), 0.1).false_positives == 3


def test_one_found_lesion_is_not_two_hits() -> None:
    reference, found = np.zeros((1, 4, 12), np.uint16), np.zeros((1, 4, 12), np.uint16)
    reference[0, :, :5] = 1
    reference[0, :, 6:12] = 2
    found[0] = 1
    scores = score_lesions(found, reference, 0.1)
    assert (scores.hits, scores.false_positives) == (1, 0)
    assert set(scores.dice) == {2}
    with pytest.raises(ValueError, match="one grid"):
        score_lesions(found, reference[:, :2], 0.5)
