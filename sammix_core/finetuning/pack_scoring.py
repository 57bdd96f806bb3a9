"""Dice of a model on embeddings with masks at the network's pixels: on the slices that go with a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from sammix_core.boxes.network_box import NetworkBox, tight_box
from sammix_core.finetuning.pack import Pack
from sammix_core.finetuning.scoring import KINDS, Scores, added_up, for_one_slice
from sammix_core.guidance.boxes_from_cam import boxes_from_cam
from sammix_core.masks.overlap import Overlap
from sammix_core.sam.decoding import clean_slice, decode_slices
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.segmentation.slice_decoder import MaskRefiner, grown


def decode_embedding(
    model: LoadedModel, embedding: torch.Tensor, oracle: NetworkBox | None, refiner: MaskRefiner | None = None
) -> dict[str, np.ndarray]:
    """Masks of one slice, with automatic boxes as the map makes them and with a given one.

    Args:
        model: The model; its guidance sees embeddings alone.
        embedding: (1, c, h, w).
        oracle: Edges in network pixels, or None for no mask.
        refiner: Refines the masks of automatic boxes.

    Returns:
        (size, size) bool by kind of box, network pixels.
    """
    embedding, size = embedding.to(model.device), model.preprocessing.size
    maps = model.guidance.maps(torch.empty(0), embedding)
    automatic = boxes_from_cam(maps, 1.0, size, for_one_slice(model.boxes)).boxes[0]
    masks = {kind: np.zeros((size, size), dtype=bool) for kind in KINDS}
    for kind, boxes in zip(KINDS, (automatic, () if oracle is None else (oracle,)), strict=True):
        for box in boxes:
            decoded = decode_slices(model.backend, embedding, np.array([box]), maps.cam_logits, model.masks)
            within = grown(box, model.masks.box_margin, model.masks.box_margin)
            if refiner is not None and kind == KINDS[0]:
                decoded = refiner(decoded, embedding, within)
            masks[kind] |= clean_slice(decoded.logits[0] > 0, within, None)
    return masks


def score_embedding(
    model: LoadedModel, embedding: torch.Tensor, mask: np.ndarray, refiner: MaskRefiner | None = None
) -> Scores:
    """Overlaps of one slice with automatic boxes and with the box of its mask.

    Args:
        model: See `decode_embedding`.
        embedding: Likewise.
        mask: (size, size) bool, network pixels.
        refiner: See `decode_embedding`.
    """
    found = decode_embedding(model, embedding, tight_box(mask), refiner)
    return {kind: Overlap.of(found[kind], mask) for kind in KINDS}


def score_pack(
    model: LoadedModel,
    pack: Pack,
    indices: Sequence[int],
    on_slice: Callable[[], None],
    refiner: MaskRefiner | None = None,
) -> dict[str, Scores]:
    """Overlaps by patient of some slices of a pack.

    Args:
        model: The model.
        pack: The pack.
        indices: Which slices.
        on_slice: Called after each slice; may raise to stop.
        refiner: See `decode_embedding`.
    """
    scored = (
        (f"patient {pack.patients[index]}", score_embedding(model, pack.embedding(index), pack.masks[index], refiner))
        for index in indices
    )
    return added_up(scored, on_slice)
