"""Boxes, maps and decoded masks of a volume's slices while they are being mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sammix_core.boxes.network_box import NetworkBox
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.masks.probability import sigmoid
from sammix_core.segmentation.slice_decoder import NetworkMask

_MAP_LIMIT = 6.0  # logits of a mask as dense prompt: sure, but not deaf to the image
_SUPPORTING_SHARE = 0.3  # share of a cell that the mask must fill for the cell to support it


class Decoder(Protocol):
    """Decodes slices in the network's frame; `sammix_core.segmentation.slice_decoder.SliceDecoder` for real ones."""

    @property
    def concurrency(self) -> int:
        """How many slices are best decoded at the same time."""

    @property
    def pixel_mm(self) -> float:
        """Side of a network pixel in mm."""

    def decode(
        self, index: int, box: NetworkBox, map_logits: np.ndarray | None, support: np.ndarray | None
    ) -> NetworkMask | None:
        """Decodes a canonical slice from a box, (h, w) logits and (h, w) bool cells that must be touched."""

    def hu(self, index: int) -> np.ndarray:
        """(size, size) float32 HU of a slice's windowed image."""

    def median_hu(self, index: int, mask: np.ndarray) -> float:
        """Median HU of a slice inside (size, size) bool with at least one pixel."""


@dataclass
class Track:
    """The guidance's boxes, slice by slice, and the masks that the decoder makes of them.

    Attributes:
        guided: Boxes and maps; changed in place.
        masks: By canonical slice.
        decoder: Decodes slices.
        slice_mm: Distance of slices.
        size: Side of the network image in pixels.
    """

    guided: GuidedBoxes
    masks: dict[int, NetworkMask]
    decoder: Decoder
    slice_mm: float
    size: int

    @classmethod
    def start(cls, guided: GuidedBoxes, decoder: Decoder, slice_mm: float, size: int) -> Track:
        """A track of a copy of the guidance's boxes."""
        return cls(guided.copy(), {}, decoder, slice_mm, size)

    def drop(self, index: int) -> None:
        """Takes the organ off a slice."""
        self.guided.boxes[index] = ()
        self.guided.support[index] = False
        self.masks.pop(index, None)

    def accept(self, index: int, mask: NetworkMask, prompt: np.ndarray) -> None:
        """Sets a slice's mask and box; its map becomes the prompt that the mask was decoded from."""
        self.masks[index] = mask
        self.set_box(index, mask.box)
        self.guided.cam_logits[index] = prompt
        cells = self.cells(mask.mask) > _SUPPORTING_SHARE
        self.guided.support[index] = cells
        self.guided.scores[index] = sigmoid(prompt[cells]).mean() if cells.any() else 0.0

    def add_part(self, index: int, part: NetworkMask) -> None:
        """Adds a box for a further part of a slice; the map shows it from now on, so that it is decoded with it."""
        prompt = self.prompt(part.logits)
        if index not in self.masks:
            self.accept(index, part, prompt)
            return
        cells = self.cells(part.mask) > 0
        self.guided.boxes[index] = (*self.guided.boxes[index], part.box)
        logits = self.guided.cam_logits[index]
        self.guided.cam_logits[index] = np.where(cells, np.maximum(logits, prompt), logits)
        self.guided.support[index] |= self.cells(part.mask) > _SUPPORTING_SHARE

    def set_box(self, index: int, box: NetworkBox) -> None:
        """Sets the first box of a slice; further ones stay as they are."""
        self.guided.boxes[index] = (box, *self.guided.boxes[index][1:])

    def cells(self, pixels: np.ndarray) -> np.ndarray:
        """(size, size) pixels as means over the map's (h, w) cells."""
        grid = self.guided.cam_logits.shape[-1]
        factor = len(pixels) // grid
        return pixels.reshape(grid, factor, grid, factor).mean((1, 3))

    def sureness(self, index: int) -> float:
        """The map's median probability inside a slice's mask."""
        inside = self.cells(self.masks[index].mask) > 0.5
        return float(np.median(sigmoid(self.guided.cam_logits[index][inside]))) if inside.any() else 0.0

    def weight(self, index: int) -> float:
        """How much of the organ a slice shows, by decoder and map: pixels by score by sureness.

        Pixels and score alone say little: of a wrong box the decoder may fill the whole body with a high score.
        """
        mask = self.masks[index]
        return mask.area * mask.score * self.sureness(index)

    def hu_about(self, centre: int, reach_mm: float) -> float:
        """The weighted median of the HU of a slice's mask and its neighbours'.

        Args:
            centre: A slice with a mask.
            reach_mm: How far its neighbours may be; the next slice always counts.
        """
        near = max(1, round(reach_mm / self.slice_mm))
        indices = [index for index in range(centre - near, centre + near + 1) if index in self.masks]
        values = np.array([self.masks[index].hu for index in indices], dtype=float)
        weights = np.array([self.weight(index) for index in indices])
        rank = np.argsort(values, kind="stable")
        reached = np.cumsum(weights[rank])
        return float(values[rank][int(np.searchsorted(reached, reached[-1] / 2))])

    def prompt(self, logits: np.ndarray) -> np.ndarray:
        """(size, size) logits as (h, w) logits for the dense prompt."""
        return self.cells(logits).clip(-_MAP_LIMIT, _MAP_LIMIT)
