"""Computes the masks of a session's slices from their boxes, several at once where that suits the backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.engines.threads import SharedWork, in_threads
from sammix_core.sam.decoding import DecodedSlices, interpolated
from sammix_core.segmentation.box_finder import BoxFinder
from sammix_core.segmentation.slice_decoder import MaskRefiner, SliceMask
from sammix_core.segmentation.slice_store import SliceStore

if TYPE_CHECKING:
    from sammix_core.segmentation.model_loading import LoadedModel

_CACHED_SLICES = 8  # decoded; a thin slice needs two of them, and a few threads work ahead


class SliceSegmenter:
    """Computes masks and changes neither boxes nor masks of the session.

    Args:
        model: The model.
        finder: Maps and embeddings of the slices.
        slices: Their boxes.

    Attributes:
        decoded: How many slices were decoded.
        refiner: Optional refiner applied to decoded masks; call `clear_cache` after setting it. It skips boxes that a
            person set, so that an edit shows at once, unless it refines every box.
    """

    def __init__(self, model: LoadedModel, finder: BoxFinder, slices: SliceStore) -> None:
        self.decoded = 0
        self.refiner: MaskRefiner | None = None
        self._model = model
        self._finder = finder
        self._slices = slices
        self._cache: SharedWork[tuple[DecodedSlices, ...]] = SharedWork(_CACHED_SLICES)
        self._lock = threading.Lock()  # guards the counter

    def clear_cache(self) -> None:
        """Drops the decoded slices that thin slices are interpolated from; needed when maps or boxes have changed."""
        self._cache.clear()

    def segment_in_order(
        self, indices: list[int], before_slice: Callable[[int], object] | None
    ) -> Generator[tuple[int, SliceMask | None]]:
        """Yields slices in their order with their masks; works ahead on several where boxes are known.

        Args:
            indices: Indices along the user's slice axis.
            before_slice: Called with a slice's index just before its turn, and may change its boxes; with it nothing is
                computed ahead.

        Yields:
            The slice's index, and its mask; None for a slice without a box.
        """
        if before_slice is not None:
            for index in indices:
                before_slice(index)
                boxes = self._slices.boxes.on(index)
                yield index, self.segment(boxes) if boxes else None
            return
        every = [boxes for boxes in map(self._slices.boxes.on, indices) if boxes]
        concurrency = self._model.backend.concurrency
        if concurrency > 1 and self._finder.interpolates:
            concurrency *= 2  # some wait for a neighbour that another one decodes
        with closing(in_threads(lambda boxes: (boxes, self.segment(boxes)), every, concurrency)) as masks:
            ahead = next(masks, None)
            for index in indices:
                boxes, mask = self._slices.boxes.on(index), None
                while ahead is not None and ahead[0][0].slice_index == index:
                    mask = ahead[1] if ahead[0] == boxes else mask
                    ahead = next(masks, None)
                if boxes and mask is None:  # the boxes were changed in the meantime
                    mask = self.segment(boxes)
                yield index, mask if boxes else None

    def segment(self, boxes: tuple[Box, ...], interpolate: bool = True) -> SliceMask:
        """Computes one slice's mask; from any thread.

        Args:
            boxes: The slice's boxes; at least one.
            interpolate: Whether a thin slice with its automatic boxes may be interpolated from its neighbours;
                otherwise it is decoded itself.
        """
        finder = self._finder
        index = finder.axial.canonical(boxes[0].slice_index)
        prompts = [finder.prompt_for(index, box.source) for box in boxes]
        decoded = self._interpolated(index, boxes) if interpolate else None
        if decoded is None:
            decoded = self._decoded(boxes)
        return finder.decoder().slice_mask(decoded, boxes, prompts[0][0], [support for _, support in prompts])

    def _automatic_on(self, slice_index: int) -> tuple[Box, ...]:
        return self._slices.automatic_boxes.get(slice_index, ())

    def _are_automatic(self, boxes: tuple[Box, ...]) -> bool:
        """Whether boxes are exactly those that the finder set on their slice."""
        automatic = self._automatic_on(boxes[0].slice_index)
        return len(boxes) == len(automatic) and all(map(_is_automatic, boxes, automatic))

    def _decoded(self, boxes: tuple[Box, ...]) -> tuple[DecodedSlices, ...]:
        """The decoder's output for a slice's boxes; cached where thin slices between two others need it again."""
        if not (self._finder.interpolates and self._are_automatic(boxes)):
            return self._decode(boxes)
        return self._cache.begin(boxes, lambda: self._decode(boxes)).result()

    def _decode(self, boxes: tuple[Box, ...]) -> tuple[DecodedSlices, ...]:
        finder, refiner = self._finder, self.refiner
        cam_logits, _ = finder.prompt_for(finder.axial.canonical(boxes[0].slice_index), boxes[0].source)
        automatic = self._automatic_on(boxes[0].slice_index)
        every_box = refiner is not None and refiner.every_box
        refined = [every_box or any(_is_automatic(box, other) for other in automatic) for box in boxes]
        decoded = finder.decoder().decode_boxes(boxes, cam_logits, [refiner if flag else None for flag in refined])
        with self._lock:
            self.decoded += 1
        return decoded

    def _interpolated(self, index: int, boxes: tuple[Box, ...]) -> tuple[DecodedSlices, ...] | None:
        """A thin slice from its two neighbours, part by part, with their automatic boxes: edits of theirs do not show.

        Returns:
            None for a slice that is decoded itself: it has other boxes, or its parts are not those of its neighbours.
        """
        anchors = self._finder.anchors_of(index)
        if anchors is None or not self._are_automatic(boxes):
            return None
        both = [self._automatic_on(self._finder.axial.slice_index(anchor)) for anchor in anchors]
        if any([box.part for box in anchor] != [box.part for box in boxes] for anchor in both):
            return None
        # Waits for another thread's result last, so that no thread waits while there is work to do.
        first, second = [self._cache.begin(anchor, partial(self._decode, anchor)) for anchor in both]
        below, above = anchors
        share = (index - below) / (above - below)
        return tuple(
            interpolated(one, other, share) for one, other in zip(first.result(), second.result(), strict=True)
        )


def _is_automatic(box: Box, automatic: Box) -> bool:
    """Whether a box is the one that the finder set."""
    return box.source is BoxSource.AUTO and (box.part, box.edges) == (automatic.part, automatic.edges)
