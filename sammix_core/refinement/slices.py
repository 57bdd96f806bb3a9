"""Refines slices' masks in use: stage by stage, from a mask or a click, with a person's clicks and undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import ndimage

from sammix_core.errors import InputError
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.msam.prompt_encoder import NEGATIVE, POSITIVE
from sammix_core.refinement.network import SliceRefiner
from sammix_core.refinement.prompts import mask_as_logits


class EmbeddedSlices(Protocol):
    """Slices with their embeddings, such as a `SegmentationSession`."""

    @property
    def axial(self) -> AxialSlices:
        """The slices."""
        ...

    def embedding(self, canonical_slice: int) -> torch.Tensor:
        """(1, 256, h, w) float32 of a slice; encoded where there is none yet."""
        ...


@dataclass(frozen=True)
class _Stage:
    logits: torch.Tensor
    clicks: Clicks


class SliceRefinement:
    """One structure on one slice, refined stage by stage. Every stage can be taken back.

    Args:
        refiner: What `load_refiner` gave.
        slices: The volume's slices.
        index: Canonical slice.
        mask: (rows, cols) bool on the canonical slice to begin from, or None for nothing.
    """

    def __init__(
        self, refiner: SliceRefiner, slices: EmbeddedSlices, index: int, mask: np.ndarray | None = None
    ) -> None:
        self._refiner = refiner
        self._axial = slices.axial
        self._embedding = slices.embedding(index)
        self._before = np.zeros(self._axial.plane_shape, dtype=bool) if mask is None else mask.astype(bool)
        self._stages: list[_Stage] = []

    @property
    def stages(self) -> int:
        """How many there were."""
        return len(self._stages)

    @property
    def mask(self) -> np.ndarray:
        """(rows, cols) bool on the canonical slice, after the last stage.

        Holes are filled, and of several pieces those stay that the mask it began with or a click inside touches.
        """
        if not self._stages:
            return self._before.copy()
        frame, shape = self._axial.frame, self._axial.plane_shape
        last = self._stages[-1]
        found = frame.to_slice(last.logits[0, 0].cpu().numpy(), shape, fill=-1.0) > 0
        support = self._before.copy()
        for row, col in last.clicks.points[0][last.clicks.labels[0] == POSITIVE].tolist():
            col_min, row_min, col_max, row_max = frame.box_to_slice((col, row, col + 1, row + 1))
            rows, cols = (
                slice(max(0, int(low)), int(high) + 1) for low, high in ((row_min, row_max), (col_min, col_max))
            )
            support[rows, cols] = True
        pieces, _ = ndimage.label(found)
        touched = np.unique(pieces[support & found])
        return np.asarray(ndimage.binary_fill_holes(np.isin(pieces, touched) & found))

    def click(self, place: tuple[int, int], inside: bool = True) -> None:
        """One more stage, with one more click.

        Args:
            place: (row, col) of the canonical slice.
            inside: Whether the place belongs to the structure.

        Raises:
            InputError: The click is outside the slice or what the network sees of it, or the first and not inside
                though there is no mask.
        """
        if not inside and not self._stages and not self._before.any():
            raise InputError("A structure begins with a click inside it.")
        row, col = place
        rows, cols = self._axial.plane_shape
        x, y, _, _ = self._axial.frame.box_to_network((col + 0.5, row + 0.5, col + 1, row + 1))
        size = self._axial.frame.size
        if not (0 <= row < rows and 0 <= col < cols and 0 <= x < size and 0 <= y < size):
            raise InputError(f"The click {place} lies outside what the network sees of the slice.")
        device = self._embedding.device
        point = torch.tensor([[[int(y), int(x)]]], device=device)
        self._step(Clicks(point, torch.tensor([[POSITIVE if inside else NEGATIVE]], device=device)))

    def refine(self) -> None:
        """One more stage with the clicks that there are.

        Raises:
            InputError: There is neither a mask nor a click yet.
        """
        if not self._stages and not self._before.any():
            raise InputError("There is nothing to refine yet: begin with a mask or a click.")
        self._step(Clicks.none(1, self._embedding.device, axes=2))

    def undo(self) -> None:
        """Takes the last stage and its click back; without one nothing happens."""
        if self._stages:
            self._stages.pop()

    @torch.inference_mode()
    def _step(self, more: Clicks) -> None:
        device = self._embedding.device
        if self._stages:
            last = self._stages[-1]
        else:
            share = self._axial.frame.to_network(self._before.astype(np.float32), 0.0)
            begun = mask_as_logits(torch.from_numpy(share)[None, None].to(device))
            # As in training: zeros say that there is no mask yet.
            last = _Stage(begun if self._before.any() else torch.zeros_like(begun), Clicks.none(1, device, axes=2))
        clicks = last.clicks + more
        self._stages.append(_Stage(self._refiner(self._embedding, last.logits, clicks).float(), clicks))
