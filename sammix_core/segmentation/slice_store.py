"""The boxes, clicks and masks of a session's slices, automatic ones and a person's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.errors import InputError
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.slice_state import UNSCORED, SliceScores, SliceState
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.grid import VolumeGrid


class SliceStore:
    """Boxes, clicks and masks of one volume, by the user's slice index; it computes nothing.

    Attributes:
        boxes: The boxes and clicks in use.
        automatic_boxes: The boxes that the last `find_boxes` found, by slice index, sorted by part; edits do not touch
            them.
        corrected: Slices whose mask a person made.
    """

    def __init__(self, shape_kji: tuple[int, int, int], order: AxialOrder, grid: VolumeGrid | None = None) -> None:
        n_k, n_j, n_i = shape_kji
        self.boxes = BoxTrack((n_i, n_j, n_k), order.slice_axis, grid=grid)
        self.automatic_boxes: dict[int, tuple[Box, ...]] = {}
        self.corrected: set[int] = set()
        self._shape_kji = shape_kji
        self._order = order
        self._canonical_mask = np.zeros(order.shape(shape_kji), np.uint8)
        self._scores: dict[int, SliceScores] = {}
        self._unclicked: dict[int, PackedMask] = {}  # slices whose mask clicks have changed; in the user's axes

    def turn(self, order: AxialOrder) -> None:
        """Reorders the slices; boxes and masks stay where they are in the volume."""
        self._canonical_mask = np.ascontiguousarray(order.forward(self._order.back(self._canonical_mask)))
        self._order = order

    def mask(self) -> np.ndarray:
        """(k, j, i) uint8, a copy."""
        return np.array(self._order.back(self._canonical_mask), order="C")

    def plane(self, slice_index: int) -> np.ndarray:
        """(rows, cols) uint8 in the user's two in-plane axes, a copy."""
        return np.array(self._order.slice_to_volume(self._canonical_mask[self._canonical(slice_index)]), order="C")

    def scores(self, slice_index: int) -> SliceScores:
        """The figures computed with the slice's mask."""
        return self._scores.get(slice_index, UNSCORED)

    def write(self, slice_index: int, canonical_plane: np.ndarray, scores: SliceScores) -> None:
        """Sets a computed mask, (row, col) in canonical order; the slice's boxes stay."""
        self._canonical_mask[self._canonical(slice_index)] = canonical_plane
        self._scores[slice_index] = scores
        self.corrected.discard(slice_index)
        self._unclicked.pop(slice_index, None)

    def empty(self, slice_index: int) -> bool:
        """Removes the slice's mask; returns whether there was any."""
        canonical = self._canonical_mask[self._canonical(slice_index)]
        filled = bool(canonical.any()) or slice_index in self._scores or slice_index in self.corrected
        canonical[:] = 0
        self._scores.pop(slice_index, None)
        self.corrected.discard(slice_index)
        self._unclicked.pop(slice_index, None)
        return filled

    def unclicked(self, slice_index: int) -> np.ndarray:
        """(row, col) bool in canonical order: the slice's mask without its clicks."""
        packed = self._unclicked.get(slice_index)
        if packed is None:
            return self._canonical_mask[self._canonical(slice_index)] > 0
        return self._order.slice_to_canonical(packed.unpack()) > 0

    def write_clicked(self, slice_index: int, canonical_plane: np.ndarray) -> None:
        """Sets the mask that clicks made of `unclicked`, (row, col) in canonical order; all else of the slice stays."""
        index = self._canonical(slice_index)
        if slice_index not in self._unclicked:
            self._unclicked[slice_index] = PackedMask.pack(self.plane(slice_index))
        self._canonical_mask[index] = canonical_plane

    def unclick(self, slice_index: int) -> None:
        """Brings back the mask without clicks, exactly as it was."""
        self._canonical_mask[self._canonical(slice_index)] = self.unclicked(slice_index)
        self._unclicked.pop(slice_index, None)

    def is_persons(self, slice_index: int) -> bool:
        """Whether a person did something to the slice: painted its mask, clicked, or set or deleted a box."""
        return (
            slice_index in self.corrected
            or bool(self.boxes.clicks_on(slice_index))
            or slice_index in self.boxes.deleted
            or any(box.source is BoxSource.EDITED for box in self.boxes.on(slice_index))
            or any(box.slice_index == slice_index for box in self.boxes.deleted_boxes)
        )

    def set_automatic(self, boxes: Mapping[int, tuple[Box, ...]]) -> None:
        """Replaces all automatic boxes; what a person set or deleted stays, box by box."""
        self.automatic_boxes = dict(boxes)
        self.boxes.replace_automatic(box for of_slice in boxes.values() for box in of_slice)

    def reset_boxes(self, slice_index: int) -> None:
        """Goes back to the automatic boxes of a slice, or to none, and forgets a person's boxes and clicks there."""
        self.boxes.restore(slice_index, self.automatic_boxes.get(slice_index, ()))

    def state(self, slice_index: int) -> SliceState:
        """The state of one slice.

        Raises:
            IndexError: The volume has no such slice.
        """
        plane, clicks = self.plane(slice_index), self.boxes.clicks_on(slice_index)
        mask = PackedMask.pack(plane) if plane.any() else None
        unclicked = self._unclicked.get(slice_index, mask) if clicks else None
        return SliceState(
            slice_index=slice_index,
            boxes=self.boxes.on(slice_index),
            automatic_boxes=self.automatic_boxes.get(slice_index, ()),
            deleted=slice_index in self.boxes.deleted,
            deleted_boxes=tuple(box for box in self.boxes.deleted_boxes if box.slice_index == slice_index),
            mask=mask,
            scores=self.scores(slice_index),
            corrected=slice_index in self.corrected,
            clicks=clicks,
            unclicked=unclicked if unclicked is not None and unclicked.area_px else None,
        )

    def put(self, state: SliceState) -> None:
        """Restores a slice; the inverse of `state`.

        Raises:
            InputError: The state is of a slice of another shape, or its boxes do not fit; nothing has changed.
        """
        index = state.slice_index
        if not 0 <= index < self.boxes.slice_count:
            raise InputError(f"Slice {index} is outside the volume, whose slices end at {self.boxes.slice_count - 1}.")
        canonical = self._canonical_mask[self._canonical(index)]
        shape = self._order.slice_to_volume(canonical).shape
        for mask in (state.mask, state.unclicked):
            if mask is not None and mask.shape != shape:
                raise InputError(f"The mask of slice {index} has {mask.shape} pixels, but the slice has {shape}.")
        self.boxes.restore(index, state.boxes, state.deleted, state.deleted_boxes, state.clicks)
        canonical[:] = 0 if state.mask is None else self._order.slice_to_canonical(state.mask.unpack())
        if state.scores == UNSCORED:
            self._scores.pop(index, None)
        else:
            self._scores[index] = state.scores
        if state.automatic_boxes:
            self.automatic_boxes[index] = state.automatic_boxes
        else:
            self.automatic_boxes.pop(index, None)
        (self.corrected.add if state.corrected else self.corrected.discard)(index)
        if state.clicks:
            self._unclicked[index] = state.unclicked or PackedMask.pack(np.zeros(shape))
        else:
            self._unclicked.pop(index, None)

    def _canonical(self, slice_index: int) -> int:
        return self._order.canonical_slice(slice_index, self._shape_kji)
