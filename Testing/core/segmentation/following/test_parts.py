"""Missing parts come back, veins and other organs do not: on livers drawn as rectangles."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest

from sammix_core.boxes.network_box import NetworkBox, tight_box
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.segmentation.following.follow import follow
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.slice_decoder import NetworkMask

SIZE, CELLS, SLICE_MM = 256, 64, 5.0
PLAIN = FollowSettings(follow_mm=0.0, break_mm=0.0, mend=False)
RIGHT, LEFT = (40, 60, 100, 160), (120, 60, 180, 100)  # 60 x 100 and 60 x 40 pixels, 1.5 mm wide each
VEIN = (110, 140, 124, 154)  # 440 mm2
BEYOND = -100.0

Rectangle = tuple[int, int, int, int]


@dataclass
class Piece:
    """Something on a slice.

    Attributes:
        edges: Where it is, in network pixels.
        hu: Its density.
        score: What the decoder thinks of its mask of it.
    """

    edges: Rectangle
    hu: float = 100.0
    score: float = 0.9

    @property
    def mask(self) -> np.ndarray:
        x_min, y_min, x_max, y_max = self.edges
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        mask[y_min:y_max, x_min:x_max] = True
        return mask


@dataclass
class Patient:
    """A decoder that takes whole each piece of which its box holds most, and knows no density."""

    slices: list[list[Piece]]
    asked: list[int] = field(default_factory=list)

    concurrency: ClassVar[int] = 1
    pixel_mm: ClassVar[float] = 1.5

    def decode(
        self, index: int, box: NetworkBox, logits: np.ndarray | None, support: np.ndarray | None
    ) -> NetworkMask | None:
        self.asked.append(index)
        x_min, y_min, x_max, y_max = (round(edge) for edge in box)
        window = np.zeros((SIZE, SIZE), dtype=bool)
        window[y_min:y_max, x_min:x_max] = True
        held = [
            piece for piece in self.slices[index] if (piece.mask & window).sum() > 0.5 * min(piece.mask.sum(), 5000)
        ]
        if not held:
            return None
        mask = np.logical_or.reduce([piece.mask for piece in held])
        tight = tight_box(mask)
        assert tight is not None
        logits = np.where(mask, 8.0, -8.0).astype(np.float32)
        return NetworkMask(mask, logits, tight, min(piece.score for piece in held), self.median_hu(index, mask))

    def hu(self, index: int) -> np.ndarray:
        hu = np.full((SIZE, SIZE), BEYOND, np.float32)
        for piece in self.slices[index]:
            hu[piece.mask] = piece.hu
        return hu

    def median_hu(self, index: int, mask: np.ndarray) -> float:
        return float(np.median(self.hu(index)[mask]))


def guided(marked: list[Rectangle | None]) -> GuidedBoxes:
    """A guidance whose map and box show one rectangle a slice."""
    logits = np.full((len(marked), CELLS, CELLS), -5.0, np.float32)
    for plane, edges in zip(logits, marked, strict=True):
        if edges is not None:
            x_min, y_min, x_max, y_max = (edge // 4 for edge in edges)
            plane[y_min:y_max, x_min:x_max] = 3.0
    shown = np.array([edges is not None for edges in marked], np.float32)
    boxes: list[tuple[NetworkBox, ...]] = [() if edges is None else (edges,) for edges in marked]
    return GuidedBoxes(logits, shown, logits > 0, boxes, 0.9 * shown)


def liver(*slices: tuple[Rectangle, ...]) -> Patient:
    return Patient([[Piece(edges) for edges in of_slice] for of_slice in slices])


def boxes_of(
    patient: Patient, marked: list[Rectangle | None], settings: FollowSettings = PLAIN
) -> list[set[Rectangle]]:
    found = follow(guided(marked), patient, SLICE_MM, SIZE, settings)
    return [{tuple(round(edge) for edge in box) for box in boxes} for boxes in found.boxes]  # type: ignore[misc]


BOTH = (40, 60, 180, 160)


def test_a_lobe_comes_back_up_and_down_to_where_it_ends() -> None:
    patient = liver((RIGHT,), (RIGHT, LEFT), (RIGHT, LEFT), (RIGHT, LEFT), (RIGHT, LEFT), (RIGHT,))
    found = boxes_of(patient, [RIGHT, RIGHT, RIGHT, BOTH, RIGHT, RIGHT])
    assert found == [{RIGHT}, {RIGHT, LEFT}, {RIGHT, LEFT}, {BOTH}, {RIGHT, LEFT}, {RIGHT}]


def test_a_slice_between_two_good_ones_is_not_left_empty() -> None:
    assert boxes_of(liver((RIGHT,), (RIGHT,), (RIGHT,)), [RIGHT, None, RIGHT]) == [{RIGHT}] * 3


def test_the_map_shows_an_added_part_so_that_its_mask_is_made_with_it() -> None:
    found = follow(guided([BOTH, RIGHT]), liver((RIGHT, LEFT), (RIGHT, LEFT)), SLICE_MM, SIZE, PLAIN)
    left = (slice(60 // 4, 100 // 4), slice(120 // 4, 180 // 4))
    assert (found.cam_logits[1][left] > 0).all()
    assert found.support[1][left].all()
    assert found.scores[1] == np.float32(0.9)


def test_what_was_given_stays_as_it_was() -> None:
    start = guided([BOTH, RIGHT])
    before = start.cam_logits.copy(), list(start.boxes), start.support.copy()
    follow(start, liver((RIGHT, LEFT), (RIGHT, LEFT)), SLICE_MM, SIZE, PLAIN)
    np.testing.assert_array_equal(start.cam_logits, before[0])
    assert start.boxes == before[1]
    np.testing.assert_array_equal(start.support, before[2])


def test_parts_can_be_turned_off() -> None:
    patient = liver((RIGHT, LEFT), (RIGHT, LEFT))
    assert boxes_of(patient, [BOTH, RIGHT], replace(PLAIN, parts=False)) == [{BOTH}, {RIGHT}]


@pytest.mark.parametrize("hu", [60.0, 145.0], ids=["a stomach", "a spleen"])
def test_what_has_another_density_in_the_same_place_is_no_part(hu: float) -> None:
    patient = Patient([[Piece(RIGHT), Piece(LEFT)], [Piece(RIGHT), Piece(LEFT, hu=hu)]])
    assert boxes_of(patient, [BOTH, RIGHT]) == [{BOTH}, {RIGHT}]


def test_a_lobe_that_is_all_tumour_goes_on_by_its_own_density() -> None:
    both = [Piece(RIGHT, hu=145.0), Piece(LEFT, hu=85.0)]
    assert boxes_of(Patient([both, both, both]), [BOTH, None, RIGHT]) == [{BOTH}, {RIGHT, LEFT}, {RIGHT, LEFT}]


def test_a_part_of_which_the_decoder_is_unsure_does_not_come() -> None:
    patient = Patient([[Piece(RIGHT), Piece(LEFT)], [Piece(RIGHT), Piece(LEFT, score=0.45)]])
    assert boxes_of(patient, [BOTH, RIGHT]) == [{BOTH}, {RIGHT}]


def test_an_answer_that_is_far_more_than_the_part_is_another_organ() -> None:
    large = (105, 40, 220, 170)
    patient = Patient([[Piece(RIGHT), Piece(LEFT)], [Piece(RIGHT), Piece(large)]])
    assert boxes_of(patient, [BOTH, RIGHT]) == [{BOTH}, {RIGHT}]


def test_a_vein_that_leaves_the_liver_is_not_followed() -> None:
    with_vein = (40, 60, 124, 160)
    patient = liver((RIGHT, VEIN), (RIGHT, VEIN), (RIGHT, VEIN), (RIGHT, VEIN))
    found = boxes_of(patient, [with_vein, RIGHT, RIGHT, RIGHT])
    assert found == [{with_vein}, {RIGHT}, {RIGHT}, {RIGHT}]
    assert max(patient.asked) == 3  # it was looked at as far as it goes


def test_a_small_part_between_two_masks_that_have_it_stays() -> None:
    with_vein = (40, 60, 124, 160)
    patient = liver((RIGHT, VEIN), (RIGHT, VEIN), (RIGHT, VEIN))
    assert boxes_of(patient, [with_vein, RIGHT, with_vein]) == [{with_vein}, {RIGHT, VEIN}, {with_vein}]


def test_a_rim_is_no_part() -> None:
    wider = (40, 60, 103, 163)
    assert boxes_of(liver((wider,), (RIGHT,)), [wider, RIGHT]) == [{wider}, {RIGHT}]


def test_what_was_rejected_is_not_decoded_again_in_the_second_pass() -> None:
    patient = Patient([[Piece(RIGHT), Piece(LEFT)], [Piece(RIGHT), Piece(LEFT, score=0.45)]])
    boxes_of(patient, [BOTH, RIGHT])
    assert patient.asked == [0, 1, 1]
