"""Decodes a slice from its prompts: on the network's pixels to fit boxes, on the slice's own pixels for its mask.

The guidance sees at 64 x 64 and slice by slice. The decoder sees the edge of the organ, so its mask gives the better
box, and the HU inside the mask say whether two slices show the same organ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from scipy import ndimage

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.boxes.network_box import NetworkBox, tight_box
from sammix_core.masks.components import largest_component
from sammix_core.preprocessing.axial_slices import TYPICAL_PIXEL_MM, AxialSlices
from sammix_core.preprocessing.upsampling import upsampled
from sammix_core.sam.decoding import DecodedSlices, MaskSettings, cam_agreement, clean_slice, decode_slices
from sammix_core.segmentation.density_cleaning import DensityCleaner
from sammix_core.segmentation.slice_state import SliceScores

if TYPE_CHECKING:
    from sammix_core.sam.backend import SamBackend


class MaskRefiner(Protocol):
    """Optional refiner applied to decoded masks.

    Attributes:
        spec: Its name and version, "liver-refiner/0.3.0".
        every_box: Whether it also refines the masks of boxes that a person set, and not only those of automatic boxes.
    """

    spec: str
    every_box: bool

    def __call__(self, decoded: DecodedSlices, embedding: torch.Tensor, within: NetworkBox) -> DecodedSlices:
        """Refines one slice.

        Args:
            decoded: The slice as the decoder made it.
            embedding: (1, c, h, w) of the slice.
            within: Edges in network pixels that the mask may fill.
        """
        ...


@dataclass(frozen=True)
class NetworkMask:
    """A slice's mask in the network's frame, decoded from one box.

    Attributes:
        mask: (size, size) bool, network pixels.
        logits: (size, size) float32 that the mask was made of.
        box: Tight (x_min, y_min, x_max, y_max) of the mask, edges in network pixels.
        score: The IoU that the decoder predicts of its mask.
        hu: Median HU inside the mask, of the windowed image.
    """

    mask: np.ndarray
    logits: np.ndarray
    box: NetworkBox
    score: float
    hu: float

    @property
    def area(self) -> int:
        """Network pixels in the mask."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True)
class PartMask:
    """The mask of one box on the slice's own pixels.

    Attributes:
        mask: (rows, cols) bool, canonical.
        decoded: The decoder's output that it was made of, a batch of one.
        limits: (col_min, row_min, col_max, row_max), edges in slice pixels that the mask may fill.
    """

    mask: np.ndarray
    decoded: DecodedSlices
    limits: tuple[float, float, float, float]


@dataclass(frozen=True)
class SliceMask:
    """A slice's mask on its own pixels.

    Attributes:
        mask: (rows, cols) bool, canonical: the union of the parts' masks.
        scores: The figures computed with it; `SliceScores` says how those of several parts are combined.
        parts: One for each of the slice's boxes.
    """

    mask: np.ndarray
    scores: SliceScores
    parts: tuple[PartMask, ...]


@dataclass(frozen=True)
class SliceDecoder:
    """Decodes a volume's slices; safe to call from several threads.

    Attributes:
        backend: The SAM backend.
        settings: How masks are chosen.
        axial: The volume's slices.
        image: Returns (size, size) float32 in [0, 1] of a canonical slice, the encoder's input; from any thread.
        embedding: Returns (1, c, h, w) of a canonical slice; from any thread.
        stride: `decode` and `median_hu` count every `stride`-th canonical slice.
        cleaner: Takes out of `slice_mask` what cannot be the organ by its density; None if the model does not say so.
    """

    backend: SamBackend
    settings: MaskSettings
    axial: AxialSlices
    image: Callable[[int], np.ndarray]
    embedding: Callable[[int], torch.Tensor]
    stride: int = 1
    cleaner: DensityCleaner | None = None

    @property
    def concurrency(self) -> int:
        """How many slices are best decoded at the same time, each from a thread of its own (`in_threads`)."""
        return self.backend.concurrency

    def decode(
        self, index: int, box: NetworkBox, map_logits: np.ndarray | None, support: np.ndarray | None
    ) -> NetworkMask | None:
        """Decodes one slice from a box, in the network's frame.

        Args:
            index: The slice.
            box: Edges in network pixels.
            map_logits: (h, w) for the dense prompt, or None.
            support: (h, w) bool, cells that the mask's components must touch; None keeps the largest component alone.

        Returns:
            The mask, or None where it is empty.
        """
        decoded = self._decode(index * self.stride, [box], map_logits)
        mask = decoded.logits[0] > 0
        wide = None if support is None else upsampled(support.astype(np.float32), len(mask)) > 0.5
        mask = clean_slice(mask, grown(box, self.settings.box_margin, self.settings.box_margin), wide)
        if support is None:
            mask = largest_component(mask)
        tight = tight_box(mask)
        if tight is None:
            return None
        return NetworkMask(mask, decoded.logits[0], tight, decoded.score(0), self.median_hu(index, mask))

    @property
    def pixel_mm(self) -> float:
        """Side of a network pixel in mm; a typical body's where the volume's spacing is not known."""
        return self.axial.pixel_mm or TYPICAL_PIXEL_MM

    def hu(self, index: int) -> np.ndarray:
        """(size, size) float32 HU of a slice's windowed image."""
        preprocessing = self.axial.preprocessing
        return preprocessing.window_level + (self.image(index * self.stride) - 0.5) * preprocessing.window_width

    def median_hu(self, index: int, mask: np.ndarray) -> float:
        """Median HU of a slice's windowed image inside (size, size) bool with at least one pixel."""
        # A little smoothing keeps the median of a noisy, narrow tip from jumping.
        value = float(np.median(ndimage.uniform_filter(self.image(index * self.stride), 3)[mask]))
        preprocessing = self.axial.preprocessing
        return preprocessing.window_level + (value - 0.5) * preprocessing.window_width

    def decode_boxes(
        self, boxes: Sequence[Box], cam_logits: np.ndarray, refiners: Sequence[MaskRefiner | None]
    ) -> tuple[DecodedSlices, ...]:
        """Decodes a slice from each of its boxes, for `slice_mask`: from its one embedding, boxes together.

        The map is a mask prompt beside a box, but not beside a person's box that contradicts it: docs/decisions,
        persons-boxes.md.

        Args:
            boxes: Boxes of one slice, in voxel indices of the volume; at least one.
            cam_logits: (h, w) of the guidance.
            refiners: For each box what refines its decoded mask, or None.

        Returns:
            A batch of one for each box.
        """
        index = self.axial.canonical(boxes[0].slice_index)
        network_boxes = [self.axial.frame.box_to_network(self._edges(box)) for box in boxes]
        prompted = [
            box.source is BoxSource.AUTO
            or map_coverage(cam_logits, network_box, self.axial.frame.size) >= self.settings.least_cover
            for box, network_box in zip(boxes, network_boxes, strict=True)
        ]
        decoded: dict[int, DecodedSlices] = {}
        for with_map in (True, False):
            chosen = [number for number, flag in enumerate(prompted) if flag is with_map]
            if chosen:
                batch = self._decode(index, [network_boxes[n] for n in chosen], cam_logits if with_map else None)
                decoded.update((number, batch.only(place)) for place, number in enumerate(chosen))
        margin = self.settings.box_margin
        for number, refiner in enumerate(refiners):
            if refiner is not None:
                within = grown(network_boxes[number], margin, margin)
                decoded[number] = refiner(decoded[number], self.embedding(index), within)
        return tuple(decoded[number] for number in range(len(boxes)))

    def slice_mask(
        self,
        decoded: Sequence[DecodedSlices],
        boxes: Sequence[Box],
        cam_logits: np.ndarray,
        supports: Sequence[np.ndarray | None],
    ) -> SliceMask:
        """Makes the mask of one slice on its own pixels; it depends on nothing but what is given.

        Each box's mask is limited by its own box and a margin; the slice's is their union. If the model cleans by
        density, it loses the body's fat, and pieces as dark as fluid if all boxes are automatic.

        Args:
            decoded: What `decode_boxes` returned, or mixtures of two slices.
            boxes: The slice's boxes, in voxel indices of the volume; at least one.
            cam_logits: (h, w) of the guidance.
            supports: For each box (h, w) bool, cells that hold the structure in 3-D; None for a box that is trusted as
                it is.
        """
        parts = tuple(map(self._part_mask, decoded, boxes, supports))
        mask = parts[0].mask if len(parts) == 1 else np.logical_or.reduce([part.mask for part in parts])
        if self.cleaner is not None:
            index = self.axial.canonical(boxes[0].slice_index)
            mask = self.cleaner.without_fat(index, mask)
            if all(box.source is BoxSource.AUTO for box in boxes):
                mask = self.cleaner.without_fluid(index, mask)
        areas = [int(np.count_nonzero(part.mask)) for part in parts]
        every = [part.decoded for part in parts]
        scores = SliceScores(
            mask_scores=tuple(
                _mean([float(one.scores[0][place]) for one in every], areas)
                for place in range(every[0].scores.shape[1])
            ),
            score=_mean([one.score(0) for one in every], areas),
            agreement=_mean([one.agreement(0) for one in every], areas),
            cam_agreement=cam_agreement(cam_logits, self.axial.frame.at_cells(mask, cam_logits.shape[0])),
        )
        return SliceMask(mask, scores, parts)

    def _part_mask(self, decoded: DecodedSlices, box: Box, support: np.ndarray | None) -> PartMask:
        frame, shape = self.axial.frame, self.axial.plane_shape
        mask = frame.to_slice(decoded.logits[0], shape, fill=-1.0) > 0
        margin = self.settings.box_margin
        limits = grown(self._edges(box), margin / frame.scale_x, margin / frame.scale_y)
        supported = None
        if support is not None and support.any():
            supported = frame.to_slice(upsampled(support.astype(np.float32), frame.size), shape, fill=0.0) > 0.5
        return PartMask(clean_slice(mask, limits, supported), decoded, limits)

    def _decode(self, index: int, boxes: Sequence[NetworkBox], map_logits: np.ndarray | None) -> DecodedSlices:
        embedding = self.embedding(index)
        embeddings = embedding.expand(len(boxes), *embedding.shape[1:])
        prompts = None if map_logits is None else np.repeat(map_logits[None].astype(np.float32), len(boxes), axis=0)
        return decode_slices(self.backend, embeddings, np.array(boxes), prompts, self.settings)

    def _edges(self, box: Box) -> tuple[int, int, int, int]:
        """A box as (col_min, row_min, col_max, row_max) of its canonical slice."""
        return self.axial.order.box_to_canonical(box.edges, self.axial.shape_kji)


def map_coverage(cam_logits: np.ndarray, box: NetworkBox, size: int) -> float:
    """The share of a box that the tight box of the map inside it fills.

    Args:
        cam_logits: (h, w) of the guidance; above 0 means the structure, as in a mask prompt.
        box: (x_min, y_min, x_max, y_max), edges in network pixels.
        size: Side of the network image in pixels.

    Returns:
        From 0, where the map shows nothing in the box, to 1.
    """
    x_min, y_min = (max(0, math.floor(edge)) for edge in box[:2])
    x_max, y_max = (min(size, math.ceil(edge)) for edge in box[2:])
    inside = upsampled(cam_logits[None].astype(np.float32), size)[0][y_min:y_max, x_min:x_max] > 0
    tight = tight_box(inside) if inside.size else None
    return 0.0 if tight is None else (tight[2] - tight[0]) * (tight[3] - tight[1]) / inside.size


def padded(box: NetworkBox, share: float, size: int) -> NetworkBox:
    """A box grown by a share of its own width and height on each side, inside the network image."""
    more_x, more_y = share * (box[2] - box[0]), share * (box[3] - box[1])
    return (
        max(0.0, box[0] - more_x),
        max(0.0, box[1] - more_y),
        min(float(size), box[2] + more_x),
        min(float(size), box[3] + more_y),
    )


def _mean(values: Sequence[float], areas: Sequence[int]) -> float:
    """The mean weighted by areas; that of all alike where every area is 0."""
    if len(values) == 1:
        return values[0]
    return float(np.average(values, weights=areas if any(areas) else None))


def grown(
    edges: tuple[float, float, float, float], margin_x: float, margin_y: float
) -> tuple[float, float, float, float]:
    """(x_min, y_min, x_max, y_max) with a margin all round."""
    return edges[0] - margin_x, edges[1] - margin_y, edges[2] + margin_x, edges[3] + margin_y
