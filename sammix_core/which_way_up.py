"""Looks at a volume whose header has lost its orientation with the model itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from sammix_core.axial_order import AxialOrder
from sammix_core.axial_slices import AxialSlices
from sammix_core.guidance.boxes_from_cam import sigmoid
from sammix_core.guidance.orientation import likeliest_order
from sammix_core.volume import Volume

if TYPE_CHECKING:
    from sammix_core.segmenter import LoadedModel


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
