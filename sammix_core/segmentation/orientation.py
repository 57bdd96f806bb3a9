"""Detects the in-plane orientation of a volume whose header has lost it.

Files that lost their spacing have mostly lost their orientation as well (an array saved with an identity header). Taken
by its header such a CT can lie upside down, and nothing is found. So the four in-plane flips are compared on a few
slices, and the one where the guidance sees most of the organ is used. A real header is never second-guessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch

from sammix_core.masks.probability import sigmoid
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

_SAMPLED_SLICES = 5
# The order by the header stays unless another one shows this many times as much.
_CLEARLY_MORE = 1.25


def orientation_steps(slices: int) -> int:
    """How many (order, slice) pairs `detect_orientation` compares in a volume of so many axial slices."""
    return 4 * len(_sampled(slices))


def best_supported_order(order: AxialOrder, slices: int, support: Callable[[AxialOrder, int], float]) -> AxialOrder:
    """Compares in-plane flips on a few slices.

    Args:
        order: The order by the header.
        slices: Number of axial slices.
        support: (order, canonical slice) -> how much of the structure the slice shows, at least 0. Not the slice's
            probability: that is near 1 upside down as well, while the map then covers half as much.

    Returns:
        The order to use; `order` itself unless another one shows clearly more.
    """
    sampled = _sampled(slices)
    best, best_score = order, -1.0
    for row_flip, col_flip in itertools.product((False, True), repeat=2):
        flips = (order.flips[0], order.flips[1] ^ row_flip, order.flips[2] ^ col_flip)
        candidate = AxialOrder(order.axes, flips)
        score = float(np.mean([support(candidate, int(index)) for index in sampled]))
        if candidate == order:
            score *= _CLEARLY_MORE
        if score > best_score:
            best, best_score = candidate, score
    return best


def _sampled(slices: int) -> np.ndarray:
    """Canonical slices spread over the middle of the volume."""
    return np.unique((np.linspace(0.15, 0.85, _SAMPLED_SLICES) * (slices - 1)).round().astype(int))


def detect_orientation(volume: Volume, model: LoadedModel, step: Callable[[], None]) -> AxialSlices:
    """Cuts a volume in the in-plane orientation that shows the guidance most of the structure.

    Args:
        volume: The CT.
        model: Its guidance judges.
        step: Called after each of the `orientation_steps`.

    Returns:
        The volume's slices; cut by its header unless another orientation shows clearly more.
    """
    axial = AxialSlices.cut(volume, volume.axial_order, model.preprocessing)

    def support(order: AxialOrder, index: int) -> float:
        nonlocal axial
        if order != axial.order:
            axial = AxialSlices.cut(volume, order, model.preprocessing)
        image = torch.from_numpy(axial.image(index))[None, None]
        embedding = torch.empty(0)
        if model.guidance.needs_embeddings:
            # As it would come out of the cache.
            embedding = model.backend.encode(image).to(torch.float16).float()
        step()
        return float(sigmoid(model.guidance.maps(image, embedding).cam_logits).sum())

    best = best_supported_order(volume.axial_order, len(axial), support)
    return axial if axial.order == best else AxialSlices.cut(volume, best, model.preprocessing)
