"""Patients count the same, and slices are chosen evenly."""

from __future__ import annotations

import numpy as np
import pytest

from sammix_core.datasets.sampling import PatientSampler, spread, spread_with_ends


def test_patients_are_drawn_alike_however_many_slices_they_have() -> None:
    sampler = PatientSampler(
        [*(("many", "ct", index) for index in range(90)), *(("few", "ct", index) for index in (100, 101))]
    )
    drawn = np.array(sampler.draw(4000, np.random.default_rng(0)))
    assert len(sampler) == 92
    assert (drawn >= 100).mean() == pytest.approx(0.5, abs=0.03)
    assert set(drawn[drawn >= 100]) == {100, 101}


def test_what_comes_twice_is_drawn_twice_as_often() -> None:
    drawn = np.array(
        PatientSampler([("a", "ct", 0), ("a", "ct", 1), ("a", "ct", 1)]).draw(3000, np.random.default_rng(0))
    )
    assert drawn.mean() == pytest.approx(2 / 3, abs=0.03)


def test_the_same_seed_draws_the_same_and_nothing_cannot_be_drawn_from() -> None:
    sampler = PatientSampler([("a", "ct", 0), ("a", "ct", 1), ("b", "ct", 2)])
    assert sampler.draw(20, np.random.default_rng(3)) == sampler.draw(20, np.random.default_rng(3))
    with pytest.raises(ValueError, match=r"high|low"):
        PatientSampler([]).draw(1, np.random.default_rng(0))


def test_volumes_of_a_patient_share_that_patients_draws() -> None:
    slices = [("hcc005", "plain", 0), *[("hcc005", "portal", index) for index in range(1, 9)], ("hcc009", "ct", 9)]
    drawn = np.array(PatientSampler(slices).draw(4000, np.random.default_rng(0)))
    assert (drawn == 9).mean() == pytest.approx(1 / 2, abs=0.03)
    assert (drawn == 0).mean() == pytest.approx(1 / 4, abs=0.03)


def test_draws_from_patients_of_one_volume_are_those_of_liver_1_1_0() -> None:
    slices = [("a", "a", 0), ("a", "a", 1), ("b", "b", 2), ("c", "c", 3), ("c", "c", 4), ("c", "c", 5)]
    drawn = PatientSampler(slices).draw(12, np.random.default_rng(3))
    assert drawn == [3, 0, 1, 4, 0, 0, 2, 2, 0, 5, 0, 2]


def test_spread_takes_evenly() -> None:
    assert spread(range(100), 5) == [10, 30, 50, 70, 90]
    assert spread(range(100), 5, 0.0) == [0, 20, 40, 60, 80]
    assert spread([1, 2], 5) == [1, 2]
    assert spread_with_ends(range(100), 3) == [0, 50, 99]
    assert spread_with_ends([1, 2], 5) == [1, 2]
