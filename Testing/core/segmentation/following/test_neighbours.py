"""Slices mended by their neighbours: a heart shed, a lobe filled, a lesion and a spleen left as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from sammix_core.boxes import NetworkBox, tight_box
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.segmentation.following.follow import follow
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.slice_decoder import NetworkMask

SIZE, CELLS = 256, 64
PLAIN = FollowSettings(follow_mm=0.0, break_mm=0.0, parts=False)
LIVER, HEART = (40, 60, 120, 160), (120, 80, 180, 140)


@dataclass
class Patient:
    """A liver with something beside it; the decoder takes of both what its box holds and its map does not deny.

    Attributes:
        other_hu: HU of what lies beside the liver, whose own are 100.
        sure_alone: Predicted IoU of the liver alone, or of the other alone.
        sure_both: Predicted IoU of both together.
    """

    other_hu: float
    sure_alone: float = 0.95
    sure_both: float = 0.9
    there: tuple[int, ...] = (0, 1, 2, 3)

    concurrency: ClassVar[int] = 1  # slices are asked for in their order

    def planes(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        liver, other = np.zeros((2, SIZE, SIZE), dtype=bool)
        for mask, (x_min, y_min, x_max, y_max) in ((liver, LIVER), (other, HEART)):
            mask[y_min:y_max, x_min:x_max] = mask is liver or index in self.there
        return liver, other

    def decode(
        self, index: int, box: NetworkBox, logits: np.ndarray | None, support: np.ndarray | None
    ) -> NetworkMask | None:
        window = np.zeros((SIZE, SIZE), dtype=bool)
        x_min, y_min, x_max, y_max = (round(edge) for edge in box)
        window[y_min:y_max, x_min:x_max] = True
        wanted = np.ones_like(window) if logits is None else np.kron(logits, np.ones((4, 4))) > 0
        parts = [part & window for part in self.planes(index) if (part & window & wanted).sum() > 0.5 * part.sum() > 0]
        if not parts:
            return None
        mask = np.logical_or.reduce(parts)
        tight = tight_box(mask)
        assert tight is not None
        score = self.sure_alone if len(parts) == 1 else self.sure_both
        return NetworkMask(
            mask, np.where(mask, 8.0, -8.0).astype(np.float32), tight, score, self.median_hu(index, mask)
        )

    def median_hu(self, index: int, mask: np.ndarray) -> float:
        liver, other = self.planes(index)
        hu = np.where(other, self.other_hu, np.where(liver, 100.0, -100.0))
        return float(np.median(hu[mask]))


def guided(marked: list[tuple[tuple[int, int, int, int], ...]]) -> GuidedBoxes:
    """A guidance that marked these areas, slice by slice."""
    logits = np.full((len(marked), CELLS, CELLS), -5.0, np.float32)
    for plane, areas in zip(logits, marked, strict=True):
        for x_min, y_min, x_max, y_max in areas:
            plane[y_min // 4 : y_max // 4, x_min // 4 : x_max // 4] = 3.0
    boxes: list[tuple[NetworkBox, ...]] = []
    for plane in logits:
        tight = tight_box(plane > 0)
        assert tight is not None
        boxes.append(((4.0 * tight[0], 4.0 * tight[1], 4.0 * tight[2], 4.0 * tight[3]),))
    return GuidedBoxes(
        logits, np.ones(len(marked), np.float32), logits > 0, boxes, np.full(len(marked), 0.9, np.float32)
    )


def right_edges(found: GuidedBoxes) -> list[float]:
    assert all(len(boxes) == 1 for boxes in found.boxes)
    return [box[2] for (box,) in found.boxes]


ALONE, BOTH = (LIVER,), (LIVER, HEART)


@pytest.mark.parametrize("marked", [[BOTH, BOTH, BOTH, ALONE], [ALONE, BOTH, BOTH, BOTH], [BOTH, ALONE, BOTH, BOTH]])
def test_a_heart_goes_from_every_slice_once_a_neighbour_is_without_it(
    marked: list[tuple[tuple[int, int, int, int], ...]],
) -> None:
    found = follow(guided(marked), Patient(other_hu=70.0), 5.0, SIZE, PLAIN)
    assert right_edges(found) == [120.0] * 4
    # The map that the mask will be made from no longer holds it either.
    assert (found.cam_logits[:, 20:35, 31:45] < 0).all()
    assert not found.support[:, 20:35, 31:45].any()


def test_what_was_given_stays_as_it_was() -> None:
    start = guided([BOTH, ALONE])
    before = start.cam_logits.copy(), list(start.boxes), start.support.copy()
    follow(start, Patient(other_hu=70.0), 5.0, SIZE, PLAIN)
    assert np.array_equal(start.cam_logits, before[0])
    assert start.boxes == before[1]
    assert np.array_equal(start.support, before[2])


@pytest.mark.parametrize(
    "patient",
    [
        Patient(other_hu=85.0),
        Patient(other_hu=70.0, sure_alone=0.91),
        Patient(other_hu=70.0, sure_alone=0.84, sure_both=0.7),
    ],
    ids=["of nearly the same density", "no surer without it", "not sure without it"],
)
def test_what_may_be_liver_is_not_shed(patient: Patient) -> None:
    found = follow(guided([BOTH, ALONE]), patient, 5.0, SIZE, PLAIN)
    assert right_edges(found) == [180.0, 120.0]


def test_what_is_far_brighter_goes_even_where_the_decoder_likes_it() -> None:
    kidney = Patient(other_hu=200.0, sure_alone=0.85, sure_both=0.95)
    assert right_edges(follow(guided([BOTH, ALONE]), kidney, 5.0, SIZE, PLAIN)) == [120.0, 120.0]


def test_a_lobe_that_a_neighbour_shows_comes_back_in_all_slices() -> None:
    lobe = Patient(other_hu=105.0)
    found = follow(guided([ALONE, BOTH, ALONE, ALONE]), lobe, 5.0, SIZE, PLAIN)
    assert right_edges(found) == [180.0] * 4
    assert found.support[3, 20:35, 31:45].all()


def test_a_lobe_of_another_density_does_not_come() -> None:
    stomach = Patient(other_hu=86.0)
    assert right_edges(follow(guided([ALONE, BOTH]), stomach, 5.0, SIZE, PLAIN)) == [120.0, 180.0]


def test_a_lobe_that_the_decoder_does_not_see_does_not_come() -> None:
    gone = Patient(other_hu=105.0, there=(1,))
    assert right_edges(follow(guided([ALONE, BOTH]), gone, 5.0, SIZE, PLAIN)) == [120.0, 180.0]


def test_an_unsure_neighbour_says_nothing() -> None:
    class Unsure(Patient):
        def decode(
            self, index: int, box: NetworkBox, logits: np.ndarray | None, support: np.ndarray | None
        ) -> NetworkMask | None:
            look = super().decode(index, box, logits, support)
            return replace(look, score=0.7) if look is not None and index == 1 else look

    assert right_edges(follow(guided([ALONE, BOTH]), Unsure(other_hu=105.0), 5.0, SIZE, PLAIN)) == [120.0, 180.0]


def test_mending_can_be_turned_off() -> None:
    settings = replace(PLAIN, mend=False)
    found = follow(guided([BOTH, ALONE]), Patient(other_hu=70.0), 5.0, SIZE, settings)
    assert right_edges(found) == [180.0, 120.0]
