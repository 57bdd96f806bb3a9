"""The refiner: a slice's embedding and last mask pass the mask-enhanced adapter into LiteMedSAM's decoder.

Which cells the adapter sees, which parts are trained, and why: docs/decisions/refining-slices.md.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.errors import InputError
from sammix_core.refinement.embedding_crop import CropMatrices, crop_maps, crops_around, uncrop_maps
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.msam.mask_enhanced_adapter import MaskEnhancedAdapter
from sammix_core.refinement.prompts import LARGEST_LOGIT, boxes_of
from sammix_core.sam.light_decoder import LightDecoder
from sammix_core.sam.litemedsam import EMBEDDING_CHANNELS
from sammix_core.sam.litemedsam_network import EDGE_TO_CENTRE

_CHOSEN = 0  # of the three masks: the balanced one; the others are biased to small or large
# Trained beside the adapter. The two-way transformer is frozen: it has 3.3 million of the decoder's 4.1.
_TRAINED = ("prompt_encoder.", "mask_decoder.output_upscaling.", "mask_decoder.output_hypernetworks_mlps.1.")


@dataclass(frozen=True)
class RefinerSpec:
    """Sizes of a refiner.

    Attributes:
        width: Channels of the adapter; LiteMedSAM's 256 are projected onto these.
        heads: Attention heads of the adapter.
        side: Cells along a side of what the adapter sees; a larger crop is averaged down to it.
    """

    width: int = 128
    heads: int = 4
    side: int = 24

    def to_dict(self) -> dict[str, int]:
        """Plain values for a manifest."""
        return settings_to_dict(self)

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> RefinerSpec:
        """Reads what `to_dict` returned.

        Raises:
            InputError: A key is unknown, or a value is no size.
        """
        spec = settings_from_dict(cls, entry, "The refiner's sizes")
        if min(spec.width, spec.heads, spec.side) < 1 or spec.width % spec.heads:
            raise InputError(f"A refiner cannot have the sizes {entry!r}.")
        return spec


class SliceRefiner(nn.Module):
    """One stage: from embedding, last mask and clicks to a better mask.

    Before training it computes what LiteMedSAM computes with a mask prompt.

    Args:
        prompt_encoder: LiteMedSAM's, or a model's; copied.
        mask_decoder: Likewise.
        spec: Sizes.
    """

    def __init__(self, prompt_encoder: Any, mask_decoder: Any, spec: RefinerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.prompt_encoder: Any = copy.deepcopy(prompt_encoder)
        self.mask_decoder: Any = copy.deepcopy(mask_decoder)
        self.narrow_image = nn.Conv2d(EMBEDDING_CHANNELS, spec.width, 1)
        self.narrow_mask = nn.Conv2d(EMBEDDING_CHANNELS, spec.width, 1)
        self.adapter = MaskEnhancedAdapter(spec.width, spec.heads, (spec.side, spec.side))
        self.widen = nn.Conv2d(spec.width, EMBEDDING_CHANNELS, 1)
        for parameter in self.widen.parameters():
            nn.init.zeros_(parameter)
        added = ("narrow_image.", "narrow_mask.", "adapter.", "widen.")
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith((*added, *_TRAINED)))

    def forward(self, embeddings: torch.Tensor, mask_logits: torch.Tensor, clicks: Clicks) -> torch.Tensor:
        """Runs one stage.

        Args:
            embeddings: (n, 256, h, w).
            mask_logits: (n, 1, 4h, 4w) of the last mask; zeros without one.
            clicks: Rows and columns in network pixels.

        Returns:
            (n, 1, 4h, 4w) logits.
        """
        boxes = boxes_of(mask_logits.detach(), clicks)
        points = None
        if clicks.points.shape[1]:
            points = (clicks.points.flip(-1).to(embeddings.dtype), clicks.labels)
        matrices = self.crop_matrices(boxes, embeddings.shape[-1])
        return self.run_prompted(embeddings, mask_logits, boxes, points, matrices)

    def crop_matrices(self, boxes: torch.Tensor, cells: int) -> CropMatrices:
        """The crops that the adapter sees, round boxes (n, 4), XYXY edges in network pixels; it adds nothing outside.

        Args:
            boxes: See above.
            cells: Along a side of the embedding.
        """
        return CropMatrices.of(crops_around(boxes, cells, self.spec.side), cells, self.spec.side, boxes.device)

    def run_prompted(
        self,
        embeddings: torch.Tensor,
        mask_logits: torch.Tensor,
        boxes: torch.Tensor,
        points: tuple[torch.Tensor, torch.Tensor] | None,
        matrices: CropMatrices,
    ) -> torch.Tensor:
        """Runs one stage with all prompts given; no step depends on values, so that it can be compiled.

        Args:
            embeddings: See `forward`.
            mask_logits: Likewise.
            boxes: (n, 4) XYXY edges in network pixels.
            points: (n, clicks, 2) columns and rows, and (n, clicks) labels.
            matrices: See `crop_matrices`.

        Returns:
            See `forward`.
        """
        sparse, dense = self.prompt_encoder(
            points=points,
            boxes=boxes - EDGE_TO_CENTRE,
            masks=mask_logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT),
        )
        adapted = self.adapter(
            self.narrow_image(crop_maps(embeddings, matrices)),
            self.narrow_mask(crop_maps(dense, matrices)),
        )
        added = uncrop_maps(self.widen(functional.gelu(adapted)), matrices)
        decoder = LightDecoder(self.prompt_encoder, self.mask_decoder)
        masks, _ = decoder.of_cells(embeddings + dense + added, sparse)
        return masks[:, _CHOSEN : _CHOSEN + 1]

    def trained_state(self) -> dict[str, torch.Tensor]:
        """The trained tensors by name, which a refiner's file holds."""
        return {name: tensor.detach() for name, tensor in self.named_parameters() if tensor.requires_grad}

    def load_trained(self, state: dict[str, torch.Tensor]) -> None:
        """Loads what `trained_state` returned.

        Raises:
            InputError: It is that of another refiner.
        """
        expected = {name: tensor.shape for name, tensor in self.trained_state().items()}
        if {name: tensor.shape for name, tensor in state.items()} != expected:
            raise InputError("The weights are not those of the refiner that the manifest describes.")
        self.load_state_dict(state, strict=False)
