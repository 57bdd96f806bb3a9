"""Lesions by a click: what hangs together in density, and what further clicks add and take."""

from __future__ import annotations

import numpy as np
import pytest
from liver_with_lesions import LESION, MIDDLE, OTHER, SHAPE, a_ct, a_liver, ball, dice, ijk

from sammix_core.errors import InputError
from sammix_core.lesions.density import LiverDensity
from sammix_core.lesions.growing import GrownLesion


@pytest.mark.parametrize("hu", [LESION, 170.0])
def test_a_click_finds_a_lesion_darker_or_brighter_than_the_liver(hu: float) -> None:
    lesions = ball(MIDDLE, 5) | ball(OTHER, 4)
    lesion = GrownLesion(LiverDensity(a_ct(lesions, hu), a_liver()))
    lesion.click(ijk(MIDDLE))
    assert dice(lesion.mask, ball(MIDDLE, 5)) > 0.9
    assert not (lesion.mask & ball(OTHER, 6)).any(), "what hangs not together is another lesion"


def test_clicks_add_and_take_and_each_is_taken_back() -> None:
    both = ball(MIDDLE, 5) | ball(OTHER, 4)
    lesion = GrownLesion(LiverDensity(a_ct(both), a_liver()))
    assert not lesion.mask.any()
    lesion.click(ijk(MIDDLE))
    first = lesion.mask
    lesion.click(ijk(OTHER))
    added = lesion.mask
    assert dice(added, both) > 0.9
    lesion.click((MIDDLE[2] - 5, MIDDLE[1], MIDDLE[0]), inside=False)
    assert not (lesion.mask & ~added).any()
    assert 5 < (added & ~lesion.mask).sum() < 0.2 * added.sum()
    assert not lesion.mask[MIDDLE[0], MIDDLE[1], MIDDLE[2] - 4]
    assert len(lesion.clicks) == lesion.stages == 3
    lesion.undo()
    lesion.undo()
    np.testing.assert_array_equal(lesion.mask, first)
    lesion.undo()
    lesion.undo()
    assert not lesion.mask.any()


def test_a_thin_vessel_does_not_join_two_lesions() -> None:
    vessel = np.zeros(SHAPE, dtype=bool)
    vessel[12, 20, 16:33] = True
    lesion = GrownLesion(LiverDensity(a_ct(ball(MIDDLE, 5) | ball(OTHER, 4) | vessel, 40.0), a_liver()))
    lesion.click(ijk(MIDDLE))
    assert not (lesion.mask & ball(OTHER, 3)).any()


def test_a_lesion_that_the_livers_mask_leaves_out_is_found() -> None:
    hole, notch = ball(MIDDLE, 5), ball((12, 20, 5), 4) & a_liver()
    density = LiverDensity(a_ct(hole | notch), a_liver() & ~hole & ~notch)
    for middle, whole in ((MIDDLE, hole), ((12, 20, 6), notch)):
        lesion = GrownLesion(density)
        lesion.click(ijk(middle))
        assert dice(lesion.mask, whole) > 0.8


def test_slices_far_apart_are_grown_too() -> None:
    lesions = ball(MIDDLE, 5)
    lesion = GrownLesion(LiverDensity(a_ct(lesions, spacing=(0.8, 0.8, 5.0)), a_liver()))
    lesion.click(ijk(MIDDLE))
    assert dice(lesion.mask, lesions) > 0.85


@pytest.mark.parametrize(
    ("place", "inside", "sentence"),
    [
        ((99, 1, 1), True, "outside the CT"),
        ((1, 1, 1), True, "outside the liver"),
        ((8, 8, 8), True, "nothing that stands out"),
        (ijk(MIDDLE), False, "begins with a click inside"),
    ],
)
def test_a_click_that_cannot_be_used_changes_nothing(place: tuple[int, int, int], inside: bool, sentence: str) -> None:
    lesion = GrownLesion(LiverDensity(a_ct(ball(MIDDLE, 5)), a_liver()))
    with pytest.raises(InputError, match=sentence):
        lesion.click(place, inside)
    assert lesion.clicks == ()
    assert not lesion.mask.any()


def test_masks_that_cannot_be_used_are_refused() -> None:
    volume = a_ct(ball(MIDDLE, 5))
    with pytest.raises(InputError, match="empty"):
        LiverDensity(volume, np.zeros(SHAPE))
    with pytest.raises(InputError, match="different grids"):
        LiverDensity(volume, np.ones((2, 2, 2)))
