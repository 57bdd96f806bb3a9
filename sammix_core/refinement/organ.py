"""Refines the decoded mask of a slice before it becomes the slice's mask: the edges of the organ itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sammix_core.boxes.network_box import NetworkBox
from sammix_core.refinement.prompts import mask_as_logits
from sammix_core.refinement.stage import Stage
from sammix_core.sam.decoding import DecodedSlices, clean_slice


class OrganRefiner:
    """Refines decoded masks; a `MaskRefiner`. Callable from any thread.

    A slice's scores and its three masks stay those of the decoder.

    Args:
        spec: The refiner's name, "liver-refiner/0.3.0".
        stage: As `stage_of` returns it.
        stages: Stages for each mask.
        every_box: See `MaskRefiner`.

    Attributes:
        spec: See above.
        every_box: Likewise.
    """

    def __init__(self, spec: str, stage: Stage, stages: int = 1, every_box: bool = False) -> None:
        self.spec = spec
        self.every_box = every_box
        self._stage = stage
        self._stages = stages

    @torch.inference_mode()
    def __call__(self, decoded: DecodedSlices, embedding: torch.Tensor, within: NetworkBox) -> DecodedSlices:
        """Refines one slice.

        Args:
            decoded: One decoded slice.
            embedding: (1, 256, h, w).
            within: XYXY edges in network pixels; the first mask is cut to them.

        Returns:
            The slice with refined logits; unchanged where there is no mask.
        """
        mask = clean_slice(decoded.logits[0] > 0, within, None)
        if not mask.any():
            return decoded
        logits = mask_as_logits(torch.from_numpy(mask.astype(np.float32))[None, None])
        for _ in range(self._stages):
            logits = self._stage(embedding, logits)
        return replace(decoded, logits=logits[:, 0].float().cpu().numpy())
