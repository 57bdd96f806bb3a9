"""M-SAM: SAM-Med3D, with the mask-enhanced adapter between its prompts and its decoder."""

from __future__ import annotations

import torch
from torch import nn

from sammix_core.refinement.msam.image_encoder import ImageEncoder
from sammix_core.refinement.msam.mask_decoder import MaskDecoder
from sammix_core.refinement.msam.mask_enhanced_adapter import MaskEnhancedAdapter
from sammix_core.refinement.msam.prompt_encoder import PromptEncoder
from sammix_core.refinement.msam.spec import MSamSpec


class Sam3d(nn.Module):
    """The three parts of SAM-Med3D; its parameters have the names and shapes of the published weights."""

    def __init__(self, spec: MSamSpec) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder(spec)
        self.prompt_encoder = PromptEncoder(spec)
        self.mask_decoder = MaskDecoder(spec)


class MSam(nn.Module):
    """The whole network, with random weights.

    Attributes:
        spec: Its sizes.
        sam: SAM-Med3D.
        adapter: The mask-enhanced adapter.
    """

    def __init__(self, spec: MSamSpec) -> None:
        super().__init__()
        spec.check()
        self.spec = spec
        self.sam = Sam3d(spec)
        self.adapter = MaskEnhancedAdapter(spec.channels, spec.adapter_heads, (spec.grid,) * 3)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 1, crop, crop, crop), normalised, to embeddings (n, channels, grid, grid, grid)."""
        return self.sam.image_encoder(images)

    def decode(
        self, embeddings: torch.Tensor, mask_logits: torch.Tensor, points: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One stage: the last mask and the clicks so far to a better mask.

        Args:
            embeddings: (n, channels, grid, grid, grid).
            mask_logits: (n, 1, mask_size, mask_size, mask_size); zeros before the first stage.
            points: (n, m, 3) voxel indices of the crop.
            labels: (n, m), see `PromptEncoder`.

        Returns:
            Logits of the shape of `mask_logits`, and predicted IoU (n,).
        """
        tokens, dense = self.sam.prompt_encoder(points, labels, mask_logits)
        positions = self.sam.prompt_encoder.dense_positions()
        return self.sam.mask_decoder(self.adapter(embeddings, dense), positions, tokens)
