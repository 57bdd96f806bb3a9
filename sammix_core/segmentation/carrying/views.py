"""A session's slices as carrying sees them: in the network's frame, by canonical slice."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from sammix_core.boxes.box import BoxSource
from sammix_core.boxes.network_box import tight_box
from sammix_core.sam.decoding import DecodedSlices
from sammix_core.segmentation.carrying.step import Change, SliceView
from sammix_core.segmentation.slice_decoder import padded

if TYPE_CHECKING:
    from sammix_core.segmentation.box_finder import BoxFinder
    from sammix_core.segmentation.slice_segmenter import SliceSegmenter
    from sammix_core.segmentation.slice_store import SliceStore

_LOGIT = 4.0  # of a pixel of the mask that the refiner begins from
_ROOM = 0.05
_KEPT = 128  # slices; a sixteenth of a MB each
_EDGE = 1.5  # network pixels about a change within which its edge may differ from the mask so far


class SliceViews:
    """The masks that corrections are carried to, and what the network makes of them; writes nothing.

    Args:
        finder: The slices and their embeddings.
        segmenter: Makes automatic masks, and has the refiner.
        slices: Boxes and masks.
    """

    def __init__(self, finder: BoxFinder, segmenter: SliceSegmenter, slices: SliceStore) -> None:
        self._finder = finder
        self._segmenter = segmenter
        self._slices = slices
        self._decoder = finder.decoder()
        boxes = slices.boxes.every_box
        self._carried = {finder.axial.canonical(box.slice_index) for box in boxes if box.source is BoxSource.CARRIED}
        self.plane = lru_cache(_KEPT)(self._plane)
        self.mask = lru_cache(_KEPT)(self._mask)

    @property
    def count(self) -> int:
        """How many slices there are."""
        return len(self._finder.axial)

    @property
    def slice_mm(self) -> float:
        """Distance of slices in mm."""
        return self._finder.axial.slice_mm

    @property
    def pixels(self) -> float:
        """Network pixels a mm."""
        return 1 / self._decoder.pixel_mm

    def is_persons(self, index: int) -> bool:
        """Whether a person did something to the slice, so that nothing is carried over it."""
        return self._slices.is_persons(self._finder.axial.slice_index(index))

    def is_carried(self, index: int) -> bool:
        """Whether the slice's mask was carried to it before."""
        return index in self._carried

    def is_encoded(self, index: int) -> bool:
        """Whether the slice's embedding is there."""
        return index in self._finder.cache

    def correction(self, index: int) -> Change:
        """What a person changed of a slice's automatic mask."""
        return Change(self._in_network(self._automatic(index)), self._in_network(self._current(index)))

    def hu(self, index: int) -> np.ndarray:
        """(size, size) float32 HU."""
        return self._decoder.hu(index)

    def view(self, index: int) -> SliceView:
        """A slice to carry a change to."""
        return SliceView(self.hu(index), self.mask(index), partial(self._answer, index))

    def on_slice(self, index: int, mask: np.ndarray) -> np.ndarray:
        """A changed mask on the slice's own pixels; those away from the change stay as they were.

        Args:
            index: The slice.
            mask: (size, size) bool.

        Returns:
            (rows, cols) bool, canonical.
        """
        frame, plane = self._finder.axial.frame, self.plane(index)
        changed = mask ^ self.mask(index)
        if not changed.any():
            return plane
        near = ndimage.binary_dilation(changed, iterations=round(_EDGE))
        smooth = ndimage.gaussian_filter(mask.astype(np.float32), _EDGE / 2)
        return np.where(
            frame.to_slice(near.astype(np.float32), plane.shape, fill=0.0) > 0.5,
            frame.to_slice(smooth, plane.shape, fill=0.0) > 0.5,
            plane,
        )

    def _plane(self, index: int) -> np.ndarray:
        """(rows, cols) bool that changes are carried to: of a slice that was carried to before, its automatic mask."""
        return self._automatic(index) if self.is_carried(index) else self._current(index)

    def _mask(self, index: int) -> np.ndarray:
        return self._in_network(self.plane(index))

    def _current(self, index: int) -> np.ndarray:
        axial = self._finder.axial
        return axial.order.slice_to_canonical(self._slices.plane(axial.slice_index(index))) > 0

    def _automatic(self, index: int) -> np.ndarray:
        axial = self._finder.axial
        boxes = self._slices.automatic_boxes.get(axial.slice_index(index), ())
        return self._segmenter.segment(boxes).mask if boxes else np.zeros(axial.plane_shape, bool)

    def _in_network(self, plane: np.ndarray) -> np.ndarray:
        return self._finder.axial.frame.to_network(plane.astype(np.float32), 0.0) > 0.5

    def _answer(self, index: int, mask: np.ndarray) -> np.ndarray:
        """(size, size) bool that the refiner, or the decoder where there is none, makes of a mask to begin from."""
        box = tight_box(mask)
        if box is None:
            return mask
        size = len(mask)
        embedding = self._finder.cache.embedding(index)
        logits = np.where(mask, _LOGIT, -_LOGIT).astype(np.float32)
        if self._segmenter.refiner is None:
            cells = embedding.shape[-1]
            prompt = logits.reshape(cells, size // cells, cells, size // cells).mean((1, 3))
            answer = self._decoder.decode(index, padded(box, _ROOM, size), prompt, prompt > 0)
            return np.zeros_like(mask) if answer is None else answer.mask
        begun = DecodedSlices(logits[None], logits[None, None], np.ones((1, 1), np.float32), np.zeros(1, int))
        whole = (0.0, 0.0, float(size), float(size))
        return self._segmenter.refiner(begun, embedding, whole).logits[0] > 0
