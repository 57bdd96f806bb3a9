"""A simulated person who corrects a volume along its review list, with the tools of a session."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from clicks import middle_of, wrong_regions
from oracle import oracle_boxes

from sammix_core.boxes import Box, BoxSource
from sammix_core.boxes.parts import box_iou
from sammix_core.datasets.cases import LabelledCase
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_state import SliceState

RIGHT_MM2, RIGHT_SHARE = 50.0, 0.02  # wrong by no more than this area, or this share of the label: left as it is
BOX_OFF_MM = 6.0  # a box with an edge further off than this is mended first
BOX_NEAR_MM = 2.0  # a box whose edges are all nearer than this is left as it is
SHARED_MM2 = 100.0  # repaired here and wrong in the same place on a neighbour: worth carrying
_MOSTLY = 0.5

Edit = Callable[[], object]


@dataclass(frozen=True)
class Mode:
    """The tools that a person uses.

    Attributes:
        name: As in rows and plot.
        box: Sets boxes.
        click: Clicks.
        paint: Paints slices outright.
        carry: Carries corrections to neighbours.
    """

    name: str
    box: bool = False
    click: bool = False
    paint: bool = False
    carry: bool = False


ALL_TOOLS = Mode("all tools", box=True, click=True, carry=True)
NO_HELP = Mode("no help")
MODES = {
    mode.name: mode
    for mode in (
        ALL_TOOLS,
        Mode("boxes alone", box=True),
        Mode("without carry", box=True, click=True),
        Mode("painted", paint=True),
        Mode("painted and carried", paint=True, carry=True),
        NO_HELP,
    )
}


class SimulatedPerson:
    """Goes through `session.review()` and does on each slice what is cheapest and helps.

    The person knows the label of a slice as long as they look at it. A slice that is nearly right is left as it is.
    Otherwise the box of the part that is most wrong becomes the label's own if an edge of it is far off; else one click
    is set in the middle of the largest wrong region. What does not make the slice better is undone, and the other tool
    is tried. A slice gets one correction that helps, or as many as are asked for. If a neighbour is wrong in the same
    place, the repair is then carried, and that is undone unless the neighbours get better. Each of these is an action,
    even if it is undone; looking and undoing are none. The slice is prepared while the person looks. A slice comes
    again only when something else has changed it.

    Args:
        session: With automatic masks, which are changed.
        case: The labels; slices without a label are not looked at.
        mode: The tools.
        corrections: The most boxes and clicks that help, a slice.

    Attributes:
        actions: What was done, in order.
        looked: How often the person looked at a slice, neighbours before a carry included.
        right: How often a slice of the list was left as it was.
    """

    def __init__(self, session: SegmentationSession, case: LabelledCase, mode: Mode, corrections: int = 1) -> None:
        self.actions: list[dict[str, Any]] = []
        self.looked = 0
        self.right = 0
        self._session = session
        self._mode = mode
        self._corrections = corrections
        self._labels = case.planes()
        self._boxes = oracle_boxes(session.volume, case.order.back(case.mask_volume()), by_part=True)
        spacing = dict(zip("ijk", session.volume.spacing, strict=True))
        self._pixel_mm = (spacing[self._boxes.in_plane_axes[0]], spacing[self._boxes.in_plane_axes[1]])
        self._seen: dict[int, PackedMask | None] = {}
        masks = {index: session.slices.plane(index) > 0 for index in self._labels}
        self._wrong = {index: int(np.count_nonzero(masks[index] ^ label)) for index, label in self._labels.items()}
        self._sizes = {index: int(mask.sum()) for index, mask in masks.items()}
        self._label_size = sum(int(label.sum()) for label in self._labels.values())

    @property
    def wrong_px(self) -> int:
        """Wrong pixels of all labelled slices."""
        return sum(self._wrong.values())

    @property
    def dice(self) -> float:
        """Dice over the labelled slices."""
        both = self._label_size + sum(self._sizes.values())
        return 1 - self.wrong_px / both if both else 1.0

    def work(self, most: int) -> Iterator[dict[str, Any]]:
        """Corrects slices until so many actions are done or the list is at its end; yields each action."""
        if self._mode == NO_HELP:
            return
        while len(self.actions) < most and (index := self._next()) is not None:
            self.looked += 1
            self._session.prepare_slice(index)
            if self._is_right(index):
                self.right += 1
            else:
                for action in self._correct(index):
                    self.actions.append(action)
                    yield action
                    if len(self.actions) == most:
                        return
            self._seen[index] = self._state(index).mask

    def _next(self) -> int | None:
        """The first slice of the list that the person has not seen as it is."""
        for index in self._session.review():
            if index in self._labels and not (index in self._seen and self._seen[index] == self._state(index).mask):
                return index
        return None

    def _correct(self, index: int) -> Iterator[dict[str, Any]]:
        """Boxes and clicks until the slice is right, has had its share, or none helps; then a carry."""
        label = self._labels[index]
        before, helped = self._mask(index) != label, 0
        while helped < self._corrections and not self._is_right(index):
            for kind, edit in self._edits(index):
                action = self._tried(kind, index, edit, [index], [self._state(index)])
                yield action
                if not action["undone"]:
                    helped += 1
                    break
            else:
                break
        repaired = before & (self._mask(index) == label)
        if helped and self._mode.carry and (beside := self._like_here(index, repaired)):
            every = [self._state(other) for other in range(self._session.boxes.slice_count)]
            yield self._tried("carry", index, lambda: self._session.carry(index), beside, every)

    def _edits(self, index: int) -> Iterator[tuple[str, Edit]]:
        """What to try on a slice, the most promising first."""
        session, label, mask = self._session, self._labels[index], self._mask(index)
        if self._mode.paint:
            yield "paint", lambda: session.slices.put(self._state(index).corrected_to(label))
            return
        edit, off_mm = self._box_edit(index, mask ^ label)
        draw = ("box", edit)
        if self._mode.box and off_mm > BOX_OFF_MM:
            yield draw
        if self._mode.click:
            region, missing = wrong_regions(label, mask)[0]
            j, i = middle_of(region)
            yield "click", lambda: session.add_click(index, i, j, positive=missing)
        if self._mode.box and BOX_NEAR_MM < off_mm <= BOX_OFF_MM:
            yield draw

    def _tried(self, kind: str, index: int, edit: Edit, judged: list[int], before: list[SliceState]) -> dict[str, Any]:
        """Does an action, and undoes it if the slices that the person judges by got no better."""
        start, cpu_start = time.perf_counter(), time.process_time()
        edit()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        wrong_before = sum(self._wrong[other] for other in judged)
        changed = [state.slice_index for state in before if self._state(state.slice_index) != state]
        self._count(changed)
        wrong_after, wrong_tried = sum(self._wrong[other] for other in judged), self.wrong_px
        if undone := wrong_after >= wrong_before:
            for state in before:
                self._session.slices.put(state)
            self._count(changed)
        return {
            "kind": kind,
            "slice": index,
            "undone": undone,
            "changed": changed,
            "judged_wrong_px": [wrong_before, wrong_after],
            "wrong_px_tried": wrong_tried,
            "wrong_px": self.wrong_px,
            "dice": round(self.dice, 5),
            "looked": self.looked,
            "right": self.right,
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu_seconds, 2),
        }

    def _like_here(self, index: int, repaired: np.ndarray) -> list[int]:
        """The neighbours to judge a carry by, if one of them is wrong where this slice was; else none."""
        beside = [other for other in (index - 1, index + 1) if other in self._labels]
        self.looked += len(beside)
        shared = [np.count_nonzero((self._mask(other) ^ self._labels[other]) & repaired) for other in beside]
        return beside if shared and max(shared) * self._pixel_mm2 >= SHARED_MM2 else []

    def _box_edit(self, index: int, wrong: np.ndarray) -> tuple[Edit, float]:
        """The edit of the box in which, old and new, most is wrong, and how far off that box is in mm.

        The edit sets a box to the label's, adds one or takes one away; on a slice without liver it takes all away.

        Args:
            index: The slice.
            wrong: (rows, cols) bool: where mask and label differ.
        """
        session, right = self._session, self._boxes.on(index)
        now = session.boxes.on(index)
        if not right:
            return partial(session.segment_slice, index, ()), np.inf
        candidates: list[tuple[int, Edit, float]] = []
        for old, new in _changes(now, right):
            if new is None:
                candidates.append((_within(wrong, old, old), partial(self._take_away, old), np.inf))
                continue
            others = [other for other in now if other is not old]
            edit = partial(session.segment_slice, index, (*others, new))
            candidates.append((_within(wrong, new, old or new), edit, self._off_mm(old, new)))
        _, edit, off_mm = max(candidates, key=lambda candidate: candidate[0])
        return edit, off_mm

    def _take_away(self, box: Box) -> None:
        self._session.boxes.delete(box.slice_index, box.part)
        self._session.segment_slices([box.slice_index])

    def _off_mm(self, old: Box | None, box: Box) -> float:
        if old is None:
            return np.inf
        mm = (*self._pixel_mm, *self._pixel_mm)
        return max(abs(a - b) * size for a, b, size in zip(old.edges, box.edges, mm, strict=True))

    @property
    def _pixel_mm2(self) -> float:
        return self._pixel_mm[0] * self._pixel_mm[1]

    def _is_right(self, index: int) -> bool:
        label_px = np.count_nonzero(self._labels[index])
        return self._wrong[index] <= max(RIGHT_MM2 / self._pixel_mm2, RIGHT_SHARE * label_px)

    def _mask(self, index: int) -> np.ndarray:
        return self._session.slices.plane(index) > 0

    def _state(self, index: int) -> SliceState:
        return self._session.slices.state(index)

    def _count(self, changed: list[int]) -> None:
        for index in set(changed) & self._labels.keys():
            mask = self._mask(index)
            self._wrong[index] = int(np.count_nonzero(mask ^ self._labels[index]))
            self._sizes[index] = int(mask.sum())


def _changes(
    now: Sequence[Box], right: Sequence[Box]
) -> Iterator[tuple[Box, Box] | tuple[Box, None] | tuple[None, Box]]:
    """What the boxes of a slice should become: (old, new) each; None for a box to take away or to add.

    The most alike belong together. Where a box also holds further parts of the label, it should go round them as well.
    """
    alike = [
        (box_iou(box.edges, other.edges), place, of_right)
        for place, box in enumerate(now)
        for of_right, other in enumerate(right)
    ]
    groups: dict[int, list[int]] = {}
    left = set(range(len(right)))
    for iou, place, of_right in sorted(alike, reverse=True):
        if iou > 0 and place not in groups and of_right in left:
            groups[place] = [of_right]
            left.remove(of_right)
    for of_right in sorted(left):
        shares = {place: _share_inside(right[of_right], now[place]) for place in groups}
        place = max(shares, key=lambda one: shares[one], default=None)
        if place is not None and shares[place] >= _MOSTLY:
            groups[place].append(of_right)
            left.remove(of_right)
    for place, box in enumerate(now):
        if place not in groups:
            yield box, None
            continue
        i_min, j_min, i_max, j_max = np.array([right[one].edges for one in groups[place]]).T
        edges = (int(i_min.min()), int(j_min.min()), int(i_max.max()), int(j_max.max()))
        yield box, Box(box.slice_index, *edges, BoxSource.EDITED, part=box.part)
    for of_right in sorted(left):
        yield None, right[of_right]


def _share_inside(box: Box, other: Box) -> float:
    """Share of a box's area that lies inside another one."""
    inside = np.zeros((box.j_max, box.i_max), bool)
    inside[other.slices] = True
    return float(inside[box.slices].mean())


def _within(wrong: np.ndarray, first: Box, second: Box) -> int:
    """Wrong pixels in either of two boxes."""
    inside = np.zeros(wrong.shape, bool)
    inside[first.slices] = inside[second.slices] = True
    return int(np.count_nonzero(wrong & inside))
