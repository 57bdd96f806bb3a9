"""Dice and IoU of masks and boxes, on figures that can be counted by hand."""

from __future__ import annotations

import numpy as np

from sammix_core.masks.overlap import Overlap, mask_dice, mask_iou

FIRST = np.array([[1, 1, 1, 0]], dtype=bool)
SECOND = np.array([[0, 0, 1, 1]], dtype=bool)
EMPTY = np.zeros((1, 4), dtype=bool)


def test_dice_and_iou_count_common_pixels() -> None:
    assert mask_dice(FIRST, SECOND) == 2 / 5
    assert mask_iou(FIRST, SECOND) == 1 / 4
    assert mask_iou(FIRST, SECOND, np.array([[0, 0, 1, 0]], dtype=bool)) == 1 / 4


def test_values_of_a_labelmap_count_as_inside_whatever_they_are() -> None:
    assert mask_dice(np.array([0, 1, 2], dtype=np.uint8), np.array([0, 4, 1], dtype=np.uint8)) == 1.0


def test_two_empty_masks_agree_in_dice_and_give_the_iou_that_was_chosen() -> None:
    assert mask_dice(EMPTY, EMPTY) == 1.0
    assert mask_iou(EMPTY, EMPTY) == 0.0
    assert mask_iou(EMPTY, EMPTY, if_empty=1.0) == 1.0
    assert mask_dice(EMPTY, FIRST) == mask_iou(EMPTY, FIRST, if_empty=1.0) == 0.0


def test_added_overlaps_give_the_dice_of_all_pixels_together() -> None:
    total = Overlap.of(FIRST, SECOND) + Overlap.of(SECOND, SECOND)
    assert total == Overlap(both=3, total=9)
    assert total.dice == 6 / 9
