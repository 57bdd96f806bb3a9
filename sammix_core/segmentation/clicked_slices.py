"""Applies a person's clicks to the mask of a slice, from its cached embedding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from sammix_core.boxes import BoxSource, Click, tight_box
from sammix_core.masks.components import component_at
from sammix_core.preprocessing.upsampling import upsampled
from sammix_core.refinement.click_regions import PixelClick, apply_clicks
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.msam.prompt_encoder import NEGATIVE, POSITIVE
from sammix_core.refinement.prompts import boxes_of, network_pixel, slice_mask_as_logits
from sammix_core.segmentation.box_finder import BoxFinder
from sammix_core.segmentation.default_refiner import click_refiner

if TYPE_CHECKING:
    from sammix_core.refinement.network import SliceRefiner
    from sammix_core.segmentation.model_loading import LoadedModel

_OUTSIDE_LOGIT = -10.0  # past what the network sees of a slice
_LEAST_MAP_LOGIT = -4.0  # of the guidance's map; below, it shows nothing at a click


class ClickEvidence(NamedTuple):
    """The arguments of `apply_clicks`."""

    mask: np.ndarray
    logits: np.ndarray
    hu: np.ndarray
    clicks: list[PixelClick]
    pixel_mm: tuple[float, float]


class ClickedSlices:
    """Masks of slices with clicks.

    The shipped refiner of the model's target makes one stage of the mask and all clicks; `apply_clicks` then takes from
    it what belongs to each click. The refiner is loaded when it is needed first. Fine-tuned versions use it too, since
    it counts near clicks alone; a model on another encoder than LiteMedSAM, or for a target without a shipped refiner,
    uses its own decoder with the mask as prompt, which sees edges but no clicks.

    Args:
        model: The model.
        finder: Embeddings of the slices.
    """

    def __init__(self, model: LoadedModel, finder: BoxFinder) -> None:
        self._model = model
        self._finder = finder

    def prepare(self) -> None:
        """Loads the refiner before the first click needs it.

        Raises:
            InputError: Its files are damaged.
        """
        _ = self.refiner

    def mask(self, unclicked: np.ndarray, clicks: Sequence[Click]) -> np.ndarray:
        """Applies the clicks of one slice.

        Args:
            unclicked: (rows, cols) bool, canonical: the slice's mask without them.
            clicks: At least one, inside the volume; their order does not matter.

        Returns:
            (rows, cols) bool, canonical.

        Raises:
            InputError: The refiner's files are damaged.
        """
        return apply_clicks(*self.evidence(unclicked, clicks))

    def evidence(self, unclicked: np.ndarray, clicks: Sequence[Click]) -> ClickEvidence:
        """What `mask` decides on, with the same arguments and errors."""
        axial = self._finder.axial
        index = axial.canonical(clicks[0].slice_index)
        pixels = [self._pixel(click) for click in clicks]
        mask = unclicked if unclicked.any() else self._organs_at(index, pixels)
        logits = self._logits(self._finder.cache.embedding(index), mask, pixels)
        on_slice = axial.frame.to_slice(logits, axial.plane_shape, fill=_OUTSIDE_LOGIT)
        return ClickEvidence(mask, on_slice, axial.hu[index], pixels, axial.slice_pixel_mm)

    def _organs_at(self, index: int, pixels: Sequence[PixelClick]) -> np.ndarray:
        """(rows, cols) bool to begin from on a slice without a mask: what the model decodes round each include.

        The box is that of the guidance's map round the click, if the map shows anything there.
        """
        axial, found = self._finder.axial, np.zeros(self._finder.axial.plane_shape, bool)
        cam_logits, _ = self._finder.prompt_for(index, BoxSource.EDITED)
        wide = upsampled(cam_logits[None].astype(np.float32), axial.frame.size)[0]
        for pixel in pixels:
            at = self._seen(pixel)
            if not pixel.inside or at is None or found[pixel.row, pixel.col] or wide[at] <= _LEAST_MAP_LOGIT:
                continue
            box = tight_box(component_at(wide >= min(0.0, float(wide[at])), at))
            decoded = None if box is None else self._finder.decoder().decode(index, box, cam_logits, None)
            if decoded is not None:
                mask = axial.frame.to_slice(decoded.logits, axial.plane_shape, fill=_OUTSIDE_LOGIT) > 0
                found |= component_at(mask, (pixel.row, pixel.col))
        return ndimage.binary_fill_holes(found)

    @cached_property
    def refiner(self) -> SliceRefiner | None:
        """What answers clicks: `click_refiner` by default; may be set, with None for the model's own decoder."""
        return click_refiner(self._model)

    @torch.inference_mode()
    def _logits(self, embedding: torch.Tensor, mask: np.ndarray, pixels: Sequence[PixelClick]) -> np.ndarray:
        """Logits of one stage over the network's image."""
        last = slice_mask_as_logits(mask, self._finder.axial.frame)
        clicks = self._network_clicks(pixels)
        if self.refiner is not None:
            device = self._model.device
            seen = Clicks(clicks.points.to(device), clicks.labels.to(device))
            logits = self.refiner(embedding, last.to(device), seen)[0, 0]
        else:
            prompt = functional.adaptive_avg_pool2d(last, 4 * embedding.shape[-1]).to(self._model.device)
            masks, scores = self._model.backend.decode(embedding, boxes_of(last, clicks), prompt)
            logits = masks[0, int(scores[0].argmax())]
        return np.asarray(logits.float().cpu().numpy())

    def _network_clicks(self, pixels: Sequence[PixelClick]) -> Clicks:
        """The clicks in the network's image; those past it have no say in the logits."""
        every = [(self._seen(pixel), POSITIVE if pixel.inside else NEGATIVE) for pixel in pixels]
        seen = [(point, label) for point, label in every if point is not None]
        points = torch.tensor([point for point, _ in seen], dtype=torch.int64).reshape(1, -1, 2)
        return Clicks(points, torch.tensor([label for _, label in seen], dtype=torch.int64)[None])

    def _seen(self, pixel: PixelClick) -> tuple[int, int] | None:
        """A click's (row, col) of the network's image; None past it."""
        frame = self._finder.axial.frame
        row, col = network_pixel((pixel.row, pixel.col), frame)
        return (row, col) if 0 <= row < frame.size and 0 <= col < frame.size else None

    def _pixel(self, click: Click) -> PixelClick:
        axial = self._finder.axial
        edges = (click.i, click.j, click.i + 1, click.j + 1)
        col, row, _, _ = axial.order.box_to_canonical(edges, axial.shape_kji)
        return PixelClick(row, col, click.positive)
