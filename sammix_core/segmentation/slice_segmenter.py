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
        self._cache: SharedWork[DecodedSlices] = SharedWork(_CACHED_SLICES)
        self._lock = threading.Lock()  # guards the counter

    def clear_cache(self) -> None:
        """Drops the decoded slices that thin slices are interpolated from; needed when maps or boxes have changed."""
        self._cache.clear()

    def segment_in_order(
        self, indices: list[int], before_slice: Callable[[int], object] | None
    ) -> Generator[tuple[int, Box | None, SliceMask | None]]:
        """Yields slices in their order with their boxes and masks; works ahead on several where boxes are known.

        Args:
            indices: Indices along the user's slice axis.
            before_slice: Called with a slice's index just before its turn, and may change its box; with it nothing is
                computed ahead.
        """
        if before_slice is not None:
            for index in indices:
                before_slice(index)
                box = self._slices.boxes.get(index)
                yield index, box, None if box is None else self.segment(box)
            return
        boxes = [box for box in map(self._slices.boxes.get, indices) if box is not None]
        concurrency = self._model.backend.concurrency
        if concurrency > 1 and self._finder.interpolates:
            concurrency *= 2  # some wait for a neighbour that another one decodes
        with closing(in_threads(lambda box: (box, self.segment(box)), boxes, concurrency)) as masks:
            ahead = next(masks, None)
            for index in indices:
                box, mask = self._slices.boxes.get(index), None
                while ahead is not None and ahead[0].slice_index == index:
                    mask = ahead[1] if ahead[0] == box else mask
                    ahead = next(masks, None)
                if box is not None and mask is None:  # the box was changed in the meantime
                    mask = self.segment(box)
                yield index, box, mask

    def segment(self, box: Box, interpolate: bool = True) -> SliceMask:
        """Computes one slice's mask; from any thread.

        Args:
            box: The slice's box.
            interpolate: Whether a thin slice with its automatic box may be interpolated from its neighbours; otherwise
                it is decoded itself.
        """
        finder = self._finder
        index = finder.axial.canonical(box.slice_index)
        cam_logits, support = finder.prompt_for(index, box.source)
        anchors = finder.anchors_of(index) if interpolate and self._is_automatic(box) else None
        decoded = self._decoded(box) if anchors is None else self._interpolated(index, *anchors)
        return finder.decoder().slice_mask(decoded, box, cam_logits, support)

    def _is_automatic(self, box: Box) -> bool:
        """Whether a box is exactly the one that the finder set."""
        automatic = self._slices.automatic_boxes.get(box.slice_index)
        return automatic is not None and box.source is BoxSource.AUTO and box.edges == automatic.edges

    def _decoded(self, box: Box) -> DecodedSlices:
        """The decoder's output for a box; cached where thin slices between two others need it again."""
        if not (self._finder.interpolates and self._is_automatic(box)):
            return self._decode(box)
        return self._cache.begin(box, lambda: self._decode(box)).result()

    def _decode(self, box: Box) -> DecodedSlices:
        cam_logits, _ = self._finder.prompt_for(self._finder.axial.canonical(box.slice_index), box.source)
        refiner = self.refiner
        if refiner is not None and not (refiner.every_box or self._is_automatic(box)):
            refiner = None
        decoded = self._finder.decoder().decode_box(box, cam_logits, refiner)
        with self._lock:
            self.decoded += 1
        return decoded

    def _interpolated(self, index: int, below: int, above: int) -> DecodedSlices:
        """A thin slice from its two neighbours, each with its automatic box: edits of theirs do not show here."""
        boxes = [self._slices.automatic_boxes[self._finder.axial.slice_index(anchor)] for anchor in (below, above)]
        # Waits for another thread's result last, so that no thread waits while there is work to do.
        first, second = [self._cache.begin(box, partial(self._decode, box)) for box in boxes]
        return interpolated(first.result(), second.result(), (index - below) / (above - below))
