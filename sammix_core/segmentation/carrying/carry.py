"""Carries a correction of a session's slice to its neighbours: masks, boxes and scores, all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.errors import InputError
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.sam.decoding import cam_agreement
from sammix_core.segmentation.carrying.boxes import boxes_round
from sammix_core.segmentation.carrying.carrier import Carrier
from sammix_core.segmentation.carrying.step import CarrySettings
from sammix_core.segmentation.carrying.views import SliceViews

if TYPE_CHECKING:
    from sammix_core.segmentation.box_finder import BoxFinder
    from sammix_core.segmentation.slice_decoder import SliceMask
    from sammix_core.segmentation.slice_segmenter import SliceSegmenter
    from sammix_core.segmentation.slice_state import SliceState
    from sammix_core.segmentation.slice_store import SliceStore


@dataclass(frozen=True)
class CarriedSession:
    """What carrying needs of a session.

    Attributes:
        finder: Its slices and embeddings.
        segmenter: Makes masks from boxes.
        slices: Its boxes and masks.
        write: Sets a slice's mask, by the user's slice index.
    """

    finder: BoxFinder
    segmenter: SliceSegmenter
    slices: SliceStore
    write: Callable[[int, SliceMask], None]


def carry_correction(
    session: CarriedSession,
    slice_index: int,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
    on_changed: Callable[[int], None] | None = None,
    settings: CarrySettings | None = None,
) -> list[int]:
    """Carries the correction of a slice; see `SegmentationSession.carry`.

    Args:
        session: The session.
        slice_index: The corrected slice.
        progress: See there.
        cancel: See there.
        on_changed: See there.
        settings: How far and how readily; the default ones where None.

    Raises:
        InputError: There is no such slice, or no person did anything to it.
        Cancelled: The user stopped; all slices are as they were.
    """
    slices, axial = session.slices, session.finder.axial
    if not 0 <= slice_index < slices.boxes.slice_count:
        last = slices.boxes.slice_count - 1
        raise InputError(f"Slice {slice_index} is outside the volume, whose slices end at {last}.")
    if not slices.is_persons(slice_index):
        raise InputError(f"Slice {slice_index} was not corrected by hand; only a corrected slice can be carried.")
    writer = _Writer(session, on_changed or (lambda _: None))
    carrier = Carrier(writer.views, settings or CarrySettings())
    start = axial.canonical(slice_index)
    try:
        stage = ProgressReporter("Carrying the correction", carrier.most(start), progress, cancel)
        with closing(carrier.run(start)) as masks:
            for index, mask in masks:
                writer.set(index, mask)
                stage.step(min(1, stage.total - stage.done))
    except BaseException:
        writer.revert()
        raise
    stage.step(stage.total - stage.done)
    return writer.changed()


class _Writer:
    """Sets masks with boxes and scores, and remembers what was there."""

    def __init__(self, session: CarriedSession, on_changed: Callable[[int], None]) -> None:
        self.views = SliceViews(session.finder, session.segmenter, session.slices)
        self._session = session
        self._on_changed = on_changed
        self._before: dict[int, SliceState] = {}

    def set(self, index: int, mask: np.ndarray) -> None:
        """Sets the mask of a canonical slice, (size, size) bool in the network's frame."""
        session, slices = self._session, self._session.slices
        at = session.finder.axial.slice_index(index)
        if np.array_equal(mask, self.views.mask(index)):
            self._unset(index, at)
            return
        plane = self.views.on_slice(index, mask)
        self._before.setdefault(at, slices.state(at))
        slices.boxes.restore(at, boxes_round(slices, at, session.finder.axial.order.slice_to_volume(plane)))
        boxes = slices.boxes.on(at)
        if boxes:
            computed = session.segmenter.segment(boxes, interpolate=False)
            logits, _ = session.finder.prompt_for(index, boxes[0].source)
            agreement = cam_agreement(logits, session.finder.axial.frame.at_cells(plane, logits.shape[0]))
            scores = replace(computed.scores, cam_agreement=agreement)
            session.write(at, replace(computed, mask=plane, scores=scores))
        else:
            slices.empty(at)
        self._on_changed(at)

    def changed(self) -> list[int]:
        """The user's indices of the slices that are not as they were, sorted."""
        return sorted(at for at, state in self._before.items() if self._session.slices.state(at) != state)

    def revert(self) -> None:
        """Restores every slice."""
        for at, state in self._before.items():
            self._session.slices.put(state)
            self._on_changed(at)

    def _unset(self, index: int, at: int) -> None:
        """Takes back what was carried to a slice, now or before."""
        session, slices = self._session, self._session.slices
        if self.views.is_carried(index):
            self._before.setdefault(at, slices.state(at))
            slices.reset_boxes(at)
            boxes = slices.boxes.on(at)
            if boxes:
                session.write(at, session.segmenter.segment(boxes))
            else:
                slices.empty(at)
        elif at in self._before:
            slices.put(self._before[at])
        else:
            return
        self._on_changed(at)
