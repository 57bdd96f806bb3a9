"""Which way up an image lies whose header has lost it.

Files that lost their spacing have mostly lost their orientation as well (an array saved with an identity header).
Taken by its header such a CT can lie upside down, and nothing is found. So the four in-plane flips are looked at on a
few slices, and the one where the guidance sees most liver is taken. A real header is never second-guessed.
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

_LOOKED_AT = 5
# The header's own way stays unless another one shows this many times as much.
_CLEARLY_MORE = 1.25


def orders_looked_at(slices: int) -> int:
    """How many slices `likeliest_order` asks for, all orders together."""
    return 4 * len(_places(slices))


def likeliest_order(order: AxialOrder, slices: int, support: Callable[[AxialOrder, int], float]) -> AxialOrder:
    """Compares in-plane flips on a few slices.

    Args:
        order: The order by the header.
        slices: Number of axial slices.
        support: (order, canonical slice) -> how much of the structure is seen on it, at least 0. Not the slice's
            probability: that is near 1 upside down as well, while the map then covers half as much.

    Returns:
        The order to use; `order` itself unless another one shows clearly more.
    """
    places = _places(slices)
    best, best_score = order, -1.0
    for row_flip, col_flip in itertools.product((False, True), repeat=2):
        flips = (order.flips[0], order.flips[1] ^ row_flip, order.flips[2] ^ col_flip)
        candidate = AxialOrder(order.axes, flips)
        score = float(np.mean([support(candidate, int(place)) for place in places]))
        if candidate == order:
            score *= _CLEARLY_MORE
        if score > best_score:
            best, best_score = candidate, score
    return best


def _places(slices: int) -> np.ndarray:
    """Canonical slices to look at, spread over the middle of the volume."""
    return np.unique((np.linspace(0.15, 0.85, _LOOKED_AT) * (slices - 1)).round().astype(int))


def likeliest_cut(volume: Volume, model: LoadedModel, looked: Callable[[], None]) -> AxialSlices:
    """Cuts a volume the way up that shows the guidance most of the structure.

    Args:
        volume: The CT.
        model: Its guidance looks.
        looked: Called after each of the `orders_looked_at` looks.

    Returns:
        The volume's slices; cut by its header unless another way shows clearly more.
    """
    cut = AxialSlices.cut(volume, volume.axial_order, model.preprocessing)

    def support(order: AxialOrder, index: int) -> float:
        nonlocal cut
        if order != cut.order:
            cut = AxialSlices.cut(volume, order, model.preprocessing)
        image = torch.from_numpy(cut.image(index))[None, None]
        embedding = torch.empty(0)
        if model.guidance.needs_embeddings:
            # As it would come out of the cache.
            embedding = model.backend.encode(image).to(torch.float16).float()
        looked()
        return float(sigmoid(model.guidance.maps(image, embedding).cam_logits).sum())

    chosen = likeliest_order(volume.axial_order, len(cut), support)
    return cut if cut.order == chosen else AxialSlices.cut(volume, chosen, model.preprocessing)
