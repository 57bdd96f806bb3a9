"""Refines what the decoder made of a slice, before it becomes the slice's mask: the edges of the organ itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sammix_core.compiling import FLOAT32
from sammix_core.refining.network import SliceRefiner
from sammix_core.refining.prompts import mask_as_logits
from sammix_core.refining.stage import stage_of
from sammix_core.sam.masks import DecodedSlices, NetworkBox, clean_slice


class OrganRefiner:
    """Refines masks in so many stages; a `slice_mask.Refine`. From any thread.

    A slice's scores and its three masks stay those of the decoder.

    Args:
        refiner: What `load_refiner` gave.
        stages: How many.
        precision: The encoder's, see `stage_of`.
    """

    def __init__(self, refiner: SliceRefiner, stages: int, precision: str = FLOAT32) -> None:
        self._stages = stages
        self._stage = stage_of(refiner, precision)

    @torch.inference_mode()
    def __call__(self, decoded: DecodedSlices, embedding: torch.Tensor, within: NetworkBox) -> DecodedSlices:
        """Refines one slice.

        Args:
            decoded: What the decoder made of it, one slice.
            embedding: (1, 256, h, w).
            within: XYXY edges in network pixels that the mask to begin from may fill.

        Returns:
            The same with other logits; unchanged where there is no mask.
        """
        begun = clean_slice(decoded.logits[0] > 0, within, None)
        if not begun.any():
            return decoded
        logits = mask_as_logits(torch.from_numpy(begun.astype(np.float32))[None, None])
        for _ in range(self._stages):
            logits = self._stage(embedding, logits)
        return replace(decoded, logits=logits[:, 0].float().cpu().numpy())
