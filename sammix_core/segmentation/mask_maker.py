"""Masks of a session's slices from the boxes that they have, several at once where that suits the backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from sammix_core.boxes import Box, BoxSource
from sammix_core.engines.threads import SharedWork, in_threads
from sammix_core.sam.decoding import DecodedSlices, mixed
from sammix_core.segmentation.box_finder import BoxFinder
from sammix_core.segmentation.slice_mask import Refine, SliceMask, decode_box, make_mask
from sammix_core.segmentation.slice_store import SliceStore

if TYPE_CHECKING:
    from sammix_core.segmentation.model_loading import LoadedModel

_KEPT_DECODED = 8  # slices; two of them stand for those between, and a few threads work ahead


class MaskMaker:
    """Makes masks and changes nothing.

    Args:
        model: The model.
        search: Maps and embeddings of the slices.
        slices: Their boxes.

    Attributes:
        decoded: How many slices were decoded.
        refine: What goes on from the decoder, or None; `forget` when it is changed. A box that a person set is answered
            by the decoder alone, at once, unless this is for every box.
    """

    def __init__(self, model: LoadedModel, search: BoxFinder, slices: SliceStore) -> None:
        self.decoded = 0
        self.refine: Refine | None = None
        self._model = model
        self._search = search
        self._slices = slices
        self._kept: SharedWork[DecodedSlices] = SharedWork(_KEPT_DECODED)
        self._lock = threading.Lock()  # for what is counted

    def forget(self) -> None:
        """Forgets what was decoded for the slices between: maps or boxes have changed."""
        self._kept.clear()

    def in_turn(
        self, chosen: list[int], take_box: Callable[[int], object] | None
    ) -> Generator[tuple[int, Box | None, SliceMask | None]]:
        """Slices in their order with their boxes and masks; several are worked on at once where boxes are known.

        Args:
            chosen: Indices along the user's slice axis.
            take_box: Called with a slice's index just before its turn, to give it another box; then nothing is worked
                on ahead.
        """
        if take_box is not None:
            for index in chosen:
                take_box(index)
                box = self._slices.boxes.get(index)
                yield index, box, None if box is None else self.mask_of(box)
            return
        held = [box for box in map(self._slices.boxes.get, chosen) if box is not None]
        concurrency = self._model.backend.concurrency
        if concurrency > 1 and self._search.thin:
            concurrency *= 2  # some wait for a neighbour that another one decodes
        with closing(in_threads(lambda box: (box, self.mask_of(box)), held, concurrency)) as masks:
            ahead = next(masks, None)
            for index in chosen:
                box, made = self._slices.boxes.get(index), None
                while ahead is not None and ahead[0].slice_index == index:
                    made = ahead[1] if ahead[0] == box else made
                    ahead = next(masks, None)
                if box is not None and made is None:  # the box was changed while others were worked on
                    made = self.mask_of(box)
                yield index, box, made

    def mask_of(self, box: Box, own: bool = False) -> SliceMask:
        """Makes one slice's mask; from any thread.

        Args:
            box: The slice's box.
            own: Whether the slice stands for itself, even where its automatic mask comes from its neighbours.
        """
        search, model = self._search, self._model
        index = search.axial.canonical(box.slice_index)
        cam_logits, support = search.prompt_of(index, box.source)
        anchors = None if own or not self._is_automatic(box) else search.anchors_of(index)
        decoded = self._decoded(box) if anchors is None else self._decoded_between(index, *anchors)
        return make_mask(decoded, model.masks, search.axial, box, cam_logits, support)

    def _is_automatic(self, box: Box) -> bool:
        """Whether a box is just the one that the search found."""
        found = self._slices.automatic_boxes.get(box.slice_index)
        return found is not None and box.source is BoxSource.AUTO and box.edges == found.edges

    def _decoded(self, box: Box) -> DecodedSlices:
        """What the decoder makes of a slice from a box; of thin slices it is kept for those between two."""
        if not (self._search.thin and self._is_automatic(box)):
            return self._decode(box)
        return self._kept.begin(box, lambda: self._decode(box)).result()

    def _decode(self, box: Box) -> DecodedSlices:
        search, model = self._search, self._model
        index = search.axial.canonical(box.slice_index)
        cam_logits, _ = search.prompt_of(index, box.source)
        embedding = search.cache.embedding(index)
        refine = self.refine
        if refine is not None and not (refine.every_box or self._is_automatic(box)):
            refine = None
        decoded = decode_box(model.backend, model.masks, search.axial, box, embedding, cam_logits, refine)
        with self._lock:
            self.decoded += 1
        return decoded

    def _decoded_between(self, index: int, first: int, second: int) -> DecodedSlices:
        """A thin slice from its two neighbours, each with its automatic box: no edit of theirs shows here."""
        places = (self._search.axial.slice_index(anchor) for anchor in (first, second))
        boxes = [self._slices.automatic_boxes[place] for place in places]
        # Of what another thread works on the result is waited for last, so that none waits while there is work to do.
        one, other = [self._kept.begin(box, partial(self._decode, box)) for box in boxes]
        return mixed(one.result(), other.result(), (index - first) / (second - first))
