"""A network without weights: what is as bright as a liver is liver, so that a session can be tested in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam.decoding import MaskSettings
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

CPU = torch.device("cpu")
_LIVER_VALUE = 0.675  # 110 HU through the default window
_TOLERANCE = 0.1


def brightness_logits(values: torch.Tensor) -> torch.Tensor:
    """Above 0 where a value is that of liver."""
    return 60 * (_TOLERANCE - (values - _LIVER_VALUE).abs())


class FakeBackend:
    """Its embedding is the image itself, made smaller; its masks are what is as bright as liver in and near the box.

    Attributes:
        encoded: How many slices were encoded.
    """

    name = "fake"
    device = CPU
    image_size = 256
    batch = 3
    concurrency = 2
    engine_name = "torch"
    precision = "float32"
    notes: Sequence[str] = ()

    def __init__(self) -> None:
        self.encoded = 0

    def encoder_key(self) -> str:
        """See `SamBackend.encoder_key`."""
        return self.name

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `SamBackend.encode`: (n, 16, 64, 64), the pixels of 4 x 4 blocks as channels."""
        self.encoded += len(images)
        return functional.pixel_unshuffle(images, 4)

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`; m2 is a little smaller and m3 a little larger than m1, and m1 scores best."""
        logits = brightness_logits(functional.pixel_shuffle(embeddings, 4))
        if mask_logits is not None:
            logits = logits + 0.1 * mask_logits
        edge = torch.arange(256) + 0.5
        x, y = edge[None, None, :], edge[None, :, None]
        x_min, y_min, x_max, y_max = (boxes[:, i, None, None] for i in range(4))
        # Real masks reach a little past their box.
        near = (x > x_min - 6) & (x < x_max + 6) & (y > y_min - 6) & (y < y_max + 6)
        logits = torch.where(near[:, None], logits, torch.full_like(logits, -9.0))
        return torch.cat([logits, logits - 1, logits + 1], dim=1), torch.tensor([[0.9, 0.7, 0.8]]).repeat(len(boxes), 1)


class FakeGuidance:
    """Its map is what is as bright as liver in the embedding, and its probability grows with how much that is."""

    name = "fake_cam"
    needs_embeddings = True

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """See `Guidance.maps`."""
        logits = brightness_logits(embeddings.mean(1))
        cells = (logits > 0).flatten(1).sum(1)
        return GuidanceMaps(logits.numpy(), torch.sigmoid((cells - 200.0) / 20).numpy())


def a_fake_model(**changes: Any) -> LoadedModel:
    """A model for `SegmentationSession` that needs no weights; `changes` replace its parts."""
    model = LoadedModel(
        spec="fake/1.0.0",
        backend=FakeBackend(),
        guidance=FakeGuidance(),
        preprocessing=PreprocessingSpec(least_extent_mm=0.0),
        boxes=BoxSettings(),
        masks=MaskSettings(),
        device=CPU,
    )
    return replace(model, **changes)


def turned_volume(
    axial: np.ndarray,
    order: AxialOrder,
    spacing: tuple[float, float, float] = (5.0, 1.6, 1.1),
    rotation: np.ndarray | None = None,
) -> Volume:
    """A volume whose canonical axial slices are `axial`, stored as `order` says.

    Args:
        axial: (slice, row, col) HU, int16.
        order: How the user's axes lie.
        spacing: (slice, row, col) in mm.
        rotation: (3, 3), turns the whole in space, so that it is oblique.
    """
    direction, spacing_ijk = np.zeros((3, 3)), [0.0, 0.0, 0.0]
    for lps, axis, flip, mm in zip((2, 1, 0), order.axes, order.flips, spacing, strict=True):
        direction[lps, axis] = -1.0 if flip else 1.0
        spacing_ijk[axis] = mm
    if rotation is not None:
        direction = rotation @ direction
    array = np.ascontiguousarray(order.back(axial))
    return Volume(array, (spacing_ijk[0], spacing_ijk[1], spacing_ijk[2]), (3.0, -4.0, 5.0), direction)
