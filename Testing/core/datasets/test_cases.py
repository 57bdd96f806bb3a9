"""Labelled cases: the same however their CT is stored, and labels that say something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_network import turned_volume
from image_files import write_with_itk
from synthetic_ct import LIVER, synthetic_ct

from sammix_core.datasets.cases import CaseConfig, load_case
from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.volume.axial_order import AxialOrder


@pytest.mark.parametrize(
    "order",
    [
        AxialOrder((2, 1, 0), (False, False, False)),
        AxialOrder((2, 1, 0), (True, True, False)),
        AxialOrder((1, 2, 0), (True, False, True)),
        AxialOrder((0, 2, 1), (False, True, True)),
    ],
    ids=str,
)
def test_a_case_is_the_same_however_its_ct_is_stored(tmp_path: Path, order: AxialOrder) -> None:
    axial = synthetic_ct((6, 40, 50))
    liver = abs(axial - LIVER) < 40
    liver[0] = False
    volume = turned_volume(axial, order)
    for name, array in (("ct", volume.array), ("mask", np.ascontiguousarray(order.back(liver)).astype(np.uint8))):
        write_with_itk(tmp_path / f"{name}.nii.gz", array, volume.spacing, volume.origin, volume.direction)
    case = load_case(CaseConfig("a", tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(case.axial, axial)
    np.testing.assert_array_equal(case.mask_volume(), liver)
    assert case.spacing == pytest.approx((5.0, 1.6, 1.1))
    assert 0 in case.absent
    assert case.labelled.all()

    masks = {k: np.ascontiguousarray(order.back(liver)[k]) for k in (1, 3)}
    if order.slice_axis != "k":  # label files know axial slices alone
        masks = {1: np.ones(volume.array.shape[1:], bool)}
    CaseLabels("a", "liver", "Made up.", volume.shape_kji, masks, frozenset({2}), frozenset({4})).write(
        tmp_path / "labels.json"
    )
    config = CaseConfig("a", tmp_path / "ct.nii.gz", tmp_path / "labels.json")
    if order.slice_axis != "k":
        with pytest.raises(InputError, match="labels k slices"):
            load_case(config)
        return
    some = load_case(config)
    place = {k: 5 - k if order.flips[0] else k for k in (1, 2, 3, 4)}
    assert sorted(some.masks) == sorted([place[1], place[3]])
    assert some.absent == (place[2],)
    assert some.present == (place[4],)
    assert some.labelled.sum() == 3
    for k in (1, 3):
        np.testing.assert_array_equal(some.masks[place[k]], liver[place[k]])


def test_labels_that_say_nothing_are_refused(tmp_path: Path) -> None:
    write_with_itk(tmp_path / "ct.nii.gz", synthetic_ct((3, 30, 40)))
    CaseLabels("a", "liver", "Made up.", (3, 30, 40)).write(tmp_path / "labels.json")
    with pytest.raises(InputError, match="cover no slice"):
        load_case(CaseConfig("a", tmp_path / "ct.nii.gz", tmp_path / "labels.json"))
