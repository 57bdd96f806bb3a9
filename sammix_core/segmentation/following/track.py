"""Boxes, maps and looks of a volume's slices while they are being mended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sammix_core.boxes import NetworkBox
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.masks.probability import sigmoid
from sammix_core.segmentation.slice_look import Look

_MAP_LIMIT = 6.0  # logits of a mask as dense prompt: sure, but not deaf to the image
_HELD = 0.3  # share of a cell that the mask fills, from which on the cell supports it


class Viewer(Protocol):
    """Shows slices as the decoder sees them; `sammix_core.segmentation.slice_look.SliceDecoder` for real ones."""

    @property
    def concurrency(self) -> int:
        """How many slices are best looked at at the same time."""

    def look(
        self, index: int, box: NetworkBox, map_logits: np.ndarray | None, support: np.ndarray | None
    ) -> Look | None:
        """Decodes a canonical slice from a box, (h, w) logits and (h, w) bool cells that must be touched."""

    def hu(self, index: int, mask: np.ndarray) -> float:
        """Median HU of a slice inside (size, size) bool, at least one pixel."""


@dataclass
class Track:
    """What was found, slice by slice, and what the decoder makes of it.

    Attributes:
        found: Boxes and maps; a copy that may be written to.
        looks: By canonical slice.
        viewer: Shows slices.
        slice_mm: Distance of slices.
        size: Side of the network image in pixels.
    """

    found: GuidedBoxes
    looks: dict[int, Look]
    viewer: Viewer
    slice_mm: float
    size: int

    @classmethod
    def start(cls, guided: GuidedBoxes, viewer: Viewer, slice_mm: float, size: int) -> Track:
        """A track of a guidance's boxes; the guidance's own stay as they are."""
        copy = replace(
            guided,
            cam_logits=guided.cam_logits.copy(),
            boxes=list(guided.boxes),
            support=guided.support.copy(),
            scores=guided.scores.copy(),
        )
        return cls(copy, {}, viewer, slice_mm, size)

    def drop(self, index: int) -> None:
        """A slice is without the organ."""
        self.found.boxes[index] = None
        self.found.support[index] = False
        self.looks.pop(index, None)

    def take(self, index: int, look: Look, prompt: np.ndarray) -> None:
        """A slice shows the organ as `look` has it; its map becomes the prompt that it was made from."""
        self.looks[index] = look
        self.found.boxes[index] = look.box
        self.found.cam_logits[index] = prompt
        cells = self.cells(look.mask) > _HELD
        self.found.support[index] = cells
        self.found.scores[index] = sigmoid(prompt[cells]).mean() if cells.any() else 0.0

    def cells(self, pixels: np.ndarray) -> np.ndarray:
        """(size, size) pixels as means over the map's (h, w) cells."""
        grid = self.found.cam_logits.shape[-1]
        factor = len(pixels) // grid
        return pixels.reshape(grid, factor, grid, factor).mean((1, 3))

    def sureness(self, index: int) -> float:
        """The map's median probability inside a slice's mask."""
        inside = self.cells(self.looks[index].mask) > 0.5
        return float(np.median(sigmoid(self.found.cam_logits[index][inside]))) if inside.any() else 0.0

    def weight(self, index: int) -> float:
        """How much of the organ a slice shows, as decoder and map have it: pixels by score by sureness.

        Pixels and score alone say little: of a wrong box the decoder may fill the whole body, and be proud of it.
        """
        look = self.looks[index]
        return look.area * look.score * self.sureness(index)

    def hu_about(self, centre: int, reach_mm: float) -> float:
        """The HU that half of what a slice and its neighbours show lies below, by weight.

        Args:
            centre: A slice that was looked at.
            reach_mm: How far its neighbours may be; the next slice always counts.
        """
        near = max(1, round(reach_mm / self.slice_mm))
        chosen = [index for index in range(centre - near, centre + near + 1) if index in self.looks]
        values = np.array([self.looks[index].hu for index in chosen], dtype=float)
        weights = np.array([self.weight(index) for index in chosen])
        rank = np.argsort(values, kind="stable")
        reached = np.cumsum(weights[rank])
        return float(values[rank][int(np.searchsorted(reached, reached[-1] / 2))])

    def prompt(self, logits: np.ndarray) -> np.ndarray:
        """(size, size) logits as (h, w) logits for the dense prompt."""
        return self.cells(logits).clip(-_MAP_LIMIT, _MAP_LIMIT)
