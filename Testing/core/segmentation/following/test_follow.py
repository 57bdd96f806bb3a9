"""Boxes drawn tight about masks, strange stretches dropped, the organ followed past its ends: on a drawn organ."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import numpy as np
import pytest

from sammix_core.boxes import NetworkBox, tight_box
from sammix_core.errors import InputError
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.segmentation.following.follow import follow
from sammix_core.segmentation.following.settings import NOT_FOLLOWED, FollowSettings
from sammix_core.segmentation.slice_decoder import NetworkMask, padded

SIZE, CELLS = 256, 64
PLAIN = FollowSettings(parts=False)


@dataclass(frozen=True)
class Slice:
    """What a slice holds: the organ's box, its HU, and what the decoder thinks of its own mask."""

    box: NetworkBox | None
    hu: float = 100.0
    score: float = 0.9


@dataclass
class Drawn:
    """A decoder that finds the part of the drawn organ that the box holds."""

    slices: list[Slice]
    asked: list[int] = field(default_factory=list)

    concurrency: ClassVar[int] = 1  # slices are asked for in their order

    def decode(
        self, index: int, box: NetworkBox, logits: np.ndarray | None, support: np.ndarray | None
    ) -> NetworkMask | None:
        self.asked.append(index)
        there = self.slices[index]
        mask = held(there.box, box)
        if not mask.any():
            return None
        return NetworkMask(mask, np.where(mask, 8.0, -8.0).astype(np.float32), edges(mask), there.score, there.hu)

    def median_hu(self, index: int, mask: np.ndarray) -> float:
        return self.slices[index].hu


def held(there: NetworkBox | None, box: NetworkBox) -> np.ndarray:
    """Pixels of a drawn box that another box holds."""
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    if there is not None:
        x_min, y_min = (max(round(a), round(b)) for a, b in zip(there[:2], box[:2], strict=True))
        x_max, y_max = (min(round(a), round(b)) for a, b in zip(there[2:], box[2:], strict=True))
        mask[y_min : max(y_min, y_max), x_min : max(x_min, x_max)] = True
    return mask


def edges(mask: np.ndarray) -> NetworkBox:
    """A mask's tight box, in floats."""
    tight = tight_box(mask)
    assert tight is not None
    return float(tight[0]), float(tight[1]), float(tight[2]), float(tight[3])


def guided(boxes: list[NetworkBox | None], sure: float = 1.0) -> GuidedBoxes:
    """What a guidance with these boxes found; `sure` is the map's logit inside them."""
    logits = np.full((len(boxes), CELLS, CELLS), -5.0, np.float32)
    for plane, box in zip(logits, boxes, strict=True):
        if box is not None:
            x_min, y_min, x_max, y_max = (round(edge / 4) for edge in box)
            plane[y_min:y_max, x_min:x_max] = sure
    return GuidedBoxes(
        logits,
        np.array([0.0 if box is None else 1.0 for box in boxes], np.float32),
        logits > 0,
        [() if box is None else (box,) for box in boxes],
        np.array([0.0 if box is None else 0.9 for box in boxes], np.float32),
    )


ORGAN = (40.0, 60.0, 140.0, 160.0)


def firsts(found: GuidedBoxes) -> list[NetworkBox | None]:
    """The only box of each slice."""
    assert all(len(boxes) < 2 for boxes in found.boxes)
    return [boxes[0] if boxes else None for boxes in found.boxes]


def test_a_box_is_drawn_tight_about_the_mask() -> None:
    found = follow(guided([(48.0, 64.0, 136.0, 150.0)]), Drawn([Slice(ORGAN)]), 5.0, SIZE, PLAIN)
    # A tenth of 88 x 86 pixels lies within reach: the whole organ to the left and above, not quite so below.
    assert firsts(found)[0] == (40.0, 60.0, 140.0, 159.0)


def test_where_nothing_is_seen_the_guidance_keeps_its_box() -> None:
    found = follow(guided([ORGAN]), Drawn([Slice(None)]), 5.0, SIZE, replace(PLAIN, break_mm=0.0))
    assert firsts(found) == [ORGAN]


def test_the_organ_is_followed_to_its_tip() -> None:
    tip = [Slice((40.0, 60.0, 140.0 - 10 * n, 160.0 - 10 * n)) for n in range(5)]
    start = guided([ORGAN, None, None, None, None, None, None])
    found = follow(start, Drawn([*tip, Slice(None), Slice(ORGAN)]), 5.0, SIZE, PLAIN)
    assert firsts(found) == [*(one.box for one in tip), None, None]
    assert (found.cam_logits[1:5] > 0).any((1, 2)).all()
    assert (found.support[1:5]).any((1, 2)).all()
    assert found.scores[4] > 0.9
    # What was given is as it was.
    assert firsts(start)[1] is None
    assert (start.cam_logits[1] == -5).all()


def test_it_is_followed_both_ways_and_through_a_gap() -> None:
    slices = [Slice(ORGAN)] * 5
    found = follow(guided([None, ORGAN, None, ORGAN, None]), Drawn(slices), 5.0, SIZE, PLAIN)
    assert firsts(found) == [ORGAN] * 5


@pytest.mark.parametrize(
    "beyond",
    [
        Slice(ORGAN, score=0.79),
        Slice(ORGAN, hu=136.0),
        Slice(ORGAN, hu=64.0),
        Slice((40.0, 60.0, 70.0, 90.0)),
        Slice((40.0, 60.0, 46.0, 66.0)),
    ],
    ids=["unsure", "brighter", "darker", "elsewhere", "a speck"],
)
def test_it_is_not_followed_into_something_else(beyond: Slice) -> None:
    found = follow(guided([ORGAN, None]), Drawn([Slice(ORGAN), beyond]), 5.0, SIZE, PLAIN)
    assert firsts(found) == [ORGAN, None]


def test_it_is_followed_no_further_than_said() -> None:
    found = follow(guided([ORGAN, *[None] * 9]), Drawn([Slice(ORGAN)] * 10), 5.0, SIZE, replace(PLAIN, follow_mm=15.0))
    assert [box is not None for box in firsts(found)] == [True] * 4 + [False] * 6


def test_thick_slices_may_overlap_less() -> None:
    smaller = Slice((40.0, 60.0, 95.0, 115.0))  # IoU 0.30 with the organ
    for slice_mm, expected in ((5.0, None), (10.0, smaller.box)):
        found = follow(guided([ORGAN, None]), Drawn([Slice(ORGAN), smaller]), slice_mm, SIZE, PLAIN)
        assert firsts(found)[1] == expected


BOWEL = Slice((40.0, 60.0, 100.0, 120.0), hu=30.0, score=0.7)


def test_what_lies_behind_a_stretch_of_another_density_is_dropped() -> None:
    slices = [Slice(ORGAN)] * 4 + [BOWEL] * 5 + [Slice(ORGAN)] * 2
    boxes = [one.box for one in slices]
    found = follow(guided(boxes), Drawn(slices), 5.0, SIZE, PLAIN)
    assert [box is not None for box in firsts(found)] == [True] * 4 + [False] * 7
    assert not found.support[4:].any()


def test_a_short_stretch_is_a_lesion_or_a_vessel_and_stays() -> None:
    slices = [Slice(ORGAN)] * 4 + [BOWEL] * 3 + [Slice(ORGAN)] * 4
    found = follow(guided([one.box for one in slices]), Drawn(slices), 5.0, SIZE, PLAIN)
    assert all(box is not None for box in firsts(found))


def test_what_the_map_is_sure_of_stays_whatever_its_density() -> None:
    slices = [Slice(ORGAN)] * 4 + [BOWEL] * 7
    found = follow(guided([one.box for one in slices], sure=5.0), Drawn(slices), 5.0, SIZE, PLAIN)
    assert all(box is not None for box in firsts(found))


def test_the_organ_is_where_the_map_is_sure_and_not_where_a_mask_fills_the_body() -> None:
    body = Slice((4.0, 8.0, 250.0, 240.0), hu=60.0)
    slices = [Slice(ORGAN)] * 6 + [BOWEL] * 7 + [body] * 2
    start = guided([one.box for one in slices])
    start.cam_logits[13:] = np.where(start.cam_logits[13:] > 0, -2.0, start.cam_logits[13:])
    found = follow(start, Drawn(slices), 5.0, SIZE, PLAIN)
    assert [box is not None for box in firsts(found)] == [True] * 6 + [False] * 9


def test_the_organs_density_is_that_about_its_surest_slice_whatever_else_was_boxed() -> None:
    gut, muscle = replace(BOWEL, hu=50.0), Slice((50.0, 70.0, 140.0, 160.0), hu=70.0)
    slices = [Slice(ORGAN)] * 6 + [gut] * 7 + [muscle] * 12
    found = follow(guided([one.box for one in slices]), Drawn(slices), 5.0, SIZE, PLAIN)
    assert [box is not None for box in firsts(found)] == [True] * 6 + [False] * 19


def test_a_weak_end_is_looked_at_anew_from_the_last_sure_slice() -> None:
    # The guidance's mark at the end is small and wrong; its neighbour leads the decoder to the organ, and on.
    wrong = (120.0, 140.0, 130.0, 150.0)

    class Weak(Drawn):
        def decode(
            self, index: int, box: NetworkBox, logits: np.ndarray | None, support: np.ndarray | None
        ) -> NetworkMask | None:
            look = super().decode(index, box, logits, support)
            small = look is not None and look.area < 1000
            return replace(look, score=0.5) if look is not None and small else look

    found = follow(guided([ORGAN, ORGAN, wrong, None]), Weak([Slice(ORGAN)] * 4), 5.0, SIZE, PLAIN)
    assert firsts(found) == [ORGAN] * 4


def test_a_weak_end_that_leads_nowhere_keeps_its_box() -> None:
    tip = (60.0, 80.0, 70.0, 90.0)
    slices = [Slice(ORGAN), Slice(tip, score=0.5), Slice(None)]
    found = follow(guided([ORGAN, tip, None]), Drawn(slices), 5.0, SIZE, PLAIN)
    assert firsts(found) == [ORGAN, tip, None]


def test_a_slice_that_the_decoder_is_surer_of_by_itself_stays() -> None:
    tip = (50.0, 70.0, 130.0, 150.0)
    slices = [Slice(ORGAN), Slice(tip, score=0.84), Slice((60.0, 80.0, 120.0, 140.0), score=0.83)]
    found = follow(guided([ORGAN, tip, None]), Drawn(slices), 5.0, SIZE, PLAIN)
    assert firsts(found) == [one.box for one in slices]


def test_settings_that_follow_nothing_change_nothing() -> None:
    drawn = Drawn([Slice(ORGAN)] * 2)
    start = guided([ORGAN, None])
    assert follow(start, drawn, 5.0, SIZE, NOT_FOLLOWED) is start
    assert drawn.asked == []


def test_each_box_is_one_step() -> None:
    steps: list[int] = []
    follow(guided([ORGAN, None, ORGAN]), Drawn([Slice(ORGAN)] * 3), 5.0, SIZE, PLAIN, lambda: steps.append(1))
    assert len(steps) == 2


def test_nothing_found_stays_nothing() -> None:
    found = follow(guided([None, None]), Drawn([Slice(None)] * 2), 5.0, SIZE, PLAIN)
    assert firsts(found) == [None, None]


def test_a_grown_box_stays_in_the_image() -> None:
    assert padded((10.0, 20.0, 250.0, 120.0), 0.1, SIZE) == (0.0, 10.0, 256.0, 130.0)


def test_settings_survive_a_manifest_and_strange_ones_do_not() -> None:
    values = {field.name: getattr(PLAIN, field.name) for field in fields(PLAIN)}
    changed = FollowSettings(
        **{key: not value if isinstance(value, bool) else value + 1 for key, value in values.items()}
    )
    assert FollowSettings.from_dict(changed.to_dict()) == changed
    with pytest.raises(InputError, match="The model's following has the unknown key 'shrink'"):
        FollowSettings.from_dict({"grow": 0.1, "shrink": 1})
