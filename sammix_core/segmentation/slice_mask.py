"""One slice's mask from its embedding, its box and the guidance: decoded, chosen, confined, scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from sammix_core.boxes import Box, BoxSource
from sammix_core.boxes.network_box import NetworkBox
from sammix_core.guidance.coverage import coverage as cover
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.preprocessing.upsampling import upsampled
from sammix_core.sam.backend import SamBackend
from sammix_core.sam.decoding import DecodedSlices, MaskSettings, cam_agreement, clean_slice, decode_slices
from sammix_core.segmentation.slice_store import MaskScores

Limits = tuple[float, float, float, float]


class Refine(Protocol):
    """What goes on from the decoder.

    Attributes:
        spec: Its name, "liver-refiner/0.1.0".
        every_box: Whether masks of boxes that a person set are refined too, and not those of automatic boxes alone.
    """

    spec: str
    every_box: bool

    def __call__(self, decoded: DecodedSlices, embedding: torch.Tensor, within: NetworkBox) -> DecodedSlices:
        """Another decoded slice from one, its embedding (1, c, h, w) and the edges that its mask may fill."""
        ...


@dataclass(frozen=True)
class SliceMask:
    """A slice's mask on its own pixels.

    Attributes:
        mask: (rows, cols) bool, canonical.
        scores: What is known of it.
        decoded: What it was made of.
        limits: (col_min, row_min, col_max, row_max) in slice pixels that it may fill.
    """

    mask: np.ndarray
    scores: MaskScores
    decoded: DecodedSlices
    limits: Limits


def decode_box(
    backend: SamBackend,
    settings: MaskSettings,
    slices: AxialSlices,
    box: Box,
    embedding: torch.Tensor,
    cam_logits: np.ndarray,
    refine: Refine | None = None,
) -> DecodedSlices:
    """Decodes one slice from a box, and refines it if asked; other arguments as of `make_mask`.

    The map is a mask prompt beside the box, but not beside a person's box that contradicts it: docs/decisions,
    persons-boxes.md.
    """
    edges = slices.order.box_to_canonical(box.edges, slices.shape_kji)
    network_box = slices.frame.box_to_network(edges)
    own = box.source is BoxSource.AUTO
    heard = own or cover(cam_logits, network_box, slices.frame.size) >= settings.least_cover
    prompt = cam_logits[None] if heard else None
    decoded = decode_slices(backend, embedding, np.array([network_box]), prompt, settings)
    if refine is None:
        return decoded
    x_min, y_min, x_max, y_max = network_box
    margin = settings.box_margin
    return refine(decoded, embedding, (x_min - margin, y_min - margin, x_max + margin, y_max + margin))


def make_mask(
    decoded: DecodedSlices,
    settings: MaskSettings,
    slices: AxialSlices,
    box: Box,
    cam_logits: np.ndarray,
    support: np.ndarray | None,
) -> SliceMask:
    """Makes the mask of one slice; it depends on nothing but what is given.

    Args:
        decoded: What the decoder gave for the slice.
        settings: The model's settings.
        slices: The volume's slices.
        box: The box, in voxel indices of the volume.
        cam_logits: (h, w) of the guidance.
        support: (h, w) bool, cells that hold the structure in 3-D; None for a box that is trusted as it is.
    """
    frame, shape = slices.frame, slices.plane_shape
    edges = slices.order.box_to_canonical(box.edges, slices.shape_kji)
    mask = frame.to_slice(decoded.logits[0], shape, fill=-1.0) > 0
    margin_x, margin_y = settings.box_margin / frame.scale_x, settings.box_margin / frame.scale_y
    limits = (edges[0] - margin_x, edges[1] - margin_y, edges[2] + margin_x, edges[3] + margin_y)
    held = None
    if support is not None and support.any():
        held = frame.to_slice(upsampled(support.astype(np.float32), frame.size), shape, fill=0.0) > 0.5
    mask = clean_slice(mask, limits, held)
    own = tuple(float(score) for score in decoded.scores[0])
    best = int(decoded.chosen[0])
    scores = MaskScores(
        own,
        own[best] if best >= 0 else float(np.mean(own)),
        decoded.agreement(0),
        cam_agreement(cam_logits, frame.at_cells(mask, cam_logits.shape[0])),
    )
    return SliceMask(mask, scores, decoded, limits)
