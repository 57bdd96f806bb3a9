"""Refines the mask of a slice stage by stage, from a mask or a click, with a person's clicks and undo."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from scipy import ndimage

from sammix_core.errors import InputError
from sammix_core.masks.components import components_touching
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.msam.prompt_encoder import NEGATIVE, POSITIVE
from sammix_core.refinement.network import SliceRefiner
from sammix_core.refinement.prompts import network_pixel, slice_mask_as_logits
from sammix_core.refinement.protocol import NOTHING_TO_REFINE, Click, StagedRefinement

RowCol = tuple[int, int]


class EmbeddedSlices(Protocol):
    """Slices with their embeddings, such as a `SegmentationSession`."""

    @property
    def axial(self) -> AxialSlices:
        """The slices."""
        ...

    def embedding(self, canonical_slice: int) -> torch.Tensor:
        """(1, 256, h, w) float32 of a slice; encoded where there is none yet."""
        ...


class SliceRefinement(StagedRefinement[RowCol, torch.Tensor]):
    """One structure on one slice; points are (row, col) of the canonical slice, states are logits (1, 1, 4h, 4w).

    Args:
        refiner: As `load_refiner` returns it.
        slices: The volume's slices.
        index: Canonical slice.
        mask: (rows, cols) bool on the canonical slice to begin from, or None for nothing.
    """

    def __init__(
        self, refiner: SliceRefiner, slices: EmbeddedSlices, index: int, mask: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self._refiner = refiner
        self._axial = slices.axial
        self._embedding = slices.embedding(index)
        self._before = np.zeros(self._axial.plane_shape, dtype=bool) if mask is None else mask.astype(bool)

    @property
    def mask(self) -> np.ndarray:
        """(rows, cols) bool on the canonical slice, after the last stage.

        Holes are filled. Of several components those stay that touch the first mask or a click inside.
        """
        if self._state is None:
            return self._before.copy()
        frame, shape = self._axial.frame, self._axial.plane_shape
        refined = frame.to_slice(self._state[0, 0].cpu().numpy(), shape, fill=-1.0) > 0
        seeds = self._before.copy()
        for click in self.clicks:
            if click.inside:
                row, col = self._network_pixel(click.point)
                col_min, row_min, col_max, row_max = frame.box_to_slice((col, row, col + 1, row + 1))
                rows, cols = (
                    slice(max(0, int(low)), int(high) + 1) for low, high in ((row_min, row_max), (col_min, col_max))
                )
                seeds[rows, cols] = True
        return np.asarray(ndimage.binary_fill_holes(components_touching(refined, seeds)))

    def click(self, point: RowCol, inside: bool = True) -> None:
        """Adds a stage with one more click.

        Args:
            point: (row, col) of the canonical slice.
            inside: Whether the point belongs to the structure.

        Raises:
            InputError: The click is outside the slice or what the network sees of it, or the first and not inside
                though there is no mask.
        """
        if not inside and not self.has_begun:
            raise InputError("A structure begins with a click inside it.")
        shown = (*point, *self._network_pixel(point))
        if not all(0 <= at < size for at, size in zip(shown, self._sizes, strict=True)):
            raise InputError(f"The click {point} lies outside what the network sees of the slice.")
        self._run(Click(point, inside))

    def refine(self) -> None:
        """Adds a stage with the clicks so far.

        Raises:
            InputError: There is neither a mask nor a click yet.
        """
        if not self.has_begun:
            raise InputError(NOTHING_TO_REFINE)
        self._run()

    @property
    def has_begun(self) -> bool:
        """Whether there is a mask or a stage."""
        return bool(self.stages or self._before.any())

    @property
    def _sizes(self) -> tuple[int, int, int, int]:
        """Rows and columns of the slice, then of what the network sees."""
        size = self._axial.frame.size
        return (*self._axial.plane_shape, size, size)

    def _network_pixel(self, point: RowCol) -> RowCol:
        return network_pixel(point, self._axial.frame)

    @torch.inference_mode()
    def _run(self, click: Click[RowCol] | None = None) -> None:
        last = self._first_logits() if self._state is None else self._state
        clicks = self._network_clicks((*self.clicks, click) if click is not None else self.clicks)
        self._add_stage(self._refiner(self._embedding, last, clicks).float(), click)

    def _first_logits(self) -> torch.Tensor:
        return slice_mask_as_logits(self._before, self._axial.frame).to(self._embedding.device)

    def _network_clicks(self, clicks: tuple[Click[RowCol], ...]) -> Clicks:
        device = self._embedding.device
        points = torch.tensor([self._network_pixel(click.point) for click in clicks], dtype=torch.int64)
        labels = torch.tensor([POSITIVE if click.inside else NEGATIVE for click in clicks], dtype=torch.int64)
        return Clicks(points.reshape(1, -1, 2).to(device), labels[None].to(device))
