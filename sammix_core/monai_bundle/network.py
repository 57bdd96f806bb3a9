"""The network of a MONAI bundle: LiteMedSAM and its guidance as one module. A bundle carries a copy of this file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam.decoding import MaskSettings, decode_slices
from sammix_core.sam.litemedsam_network import build_architecture, decode_with


class BoxPromptedNetwork(nn.Module):
    """Encoder, guidance head, prompt encoder and mask decoder: windowed slices and boxes in, mask logits out.

    Args:
        preprocessing: The model's `PreprocessingSpec` as a dictionary; the slices have to be prepared as it says.
        masks: The model's `MaskSettings` as a dictionary.

    Attributes:
        preprocessing: The model's.
        masks: The model's.
        image_size: Side of a slice in pixels.
        sam: LiteMedSAM.
        guidance: Embedding to class activation map.
    """

    def __init__(self, preprocessing: dict[str, Any], masks: dict[str, Any]) -> None:
        super().__init__()
        self.preprocessing = PreprocessingSpec.from_dict(preprocessing)
        self.masks = MaskSettings.from_dict(masks)
        self.image_size = self.preprocessing.size
        self.sam = build_architecture()
        self.guidance = EmbeddingHead()
        self.requires_grad_(False).eval()
        self.register_load_state_dict_post_hook(_drop_cached_biases)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.guidance.parameters()).device

    @torch.inference_mode()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, 1, size, size) in [0, 1] to embeddings (n, 256, 64, 64), rounded as SAMMix caches them."""
        embeddings = self.sam.image_encoder(images.to(self.device, torch.float32).expand(-1, 3, -1, -1))
        return embeddings.to(torch.float16).to(torch.float32)

    @torch.inference_mode()
    def cam_logits(self, embeddings: torch.Tensor) -> np.ndarray:
        """Embeddings to class activation maps (n, 64, 64) float32; above 0 means the structure."""
        return self.guidance(embeddings)[0][:, 0].cpu().numpy()

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts to masks.

        Args:
            embeddings: (n, 256, 64, 64).
            boxes: (n, 4) XYXY edges in pixels of the slice.
            mask_logits: (n, 1, 256, 256) dense prompt, or None.

        Returns:
            Mask logits (n, 3, 256, 256) and predicted IoU (n, 3).
        """
        sam = self.sam
        return decode_with(sam.prompt_encoder, sam.mask_decoder, embeddings, boxes.to(self.device), mask_logits)

    def forward(self, image: torch.Tensor, boxes: torch.Tensor | None = None) -> torch.Tensor:
        """Segments slices by a box each, with the class activation map as a second prompt.

        Args:
            image: (n, 1, size, size) in [0, 1], windowed and resized; rows to the back, columns to the patient's left.
            boxes: (n, 4) XYXY edges in pixels of the slice; None for the whole slice.

        Returns:
            (n, 1, size, size) logits of the chosen mask; above 0 means the structure.
        """
        if boxes is None:
            boxes = torch.tensor([[0.0, 0.0, self.image_size, self.image_size]]).expand(len(image), -1)
        embeddings = self.encode(image)
        decoder: Any = self  # a PromptDecoder
        decoded = decode_slices(decoder, embeddings, boxes.cpu().numpy(), self.cam_logits(embeddings), self.masks)
        return torch.from_numpy(decoded.logits)[:, None].to(image.device)


def _drop_cached_biases(network: nn.Module, _: Any) -> None:
    """Has TinyViT compute its attention biases again, which it caches in eval mode, from the weights just loaded."""
    network.train().eval()
