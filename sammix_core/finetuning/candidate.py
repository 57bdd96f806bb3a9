"""A model while it is being made: the parent with another head and decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from sammix_core.errors import InputError
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import PREFIX, EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.sam.backend import SamBackend, WrappedBackend
from sammix_core.sam.litemedsam import is_litemedsam, require_litemedsam
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.decoder_training import PromptedDecoder
from sammix_core.training.interpolation import Shares, mixed


@dataclass(frozen=True)
class Weights:
    """What fine-tuning changes.

    Attributes:
        head: Tensors of the guidance head.
        decoder: Tensors of prompt encoder and mask decoder, named as in LiteMedSAM.
    """

    head: Mapping[str, torch.Tensor]
    decoder: Mapping[str, torch.Tensor]

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors as a model's weights name them."""
        return {**{PREFIX + name: tensor for name, tensor in self.head.items()}, **self.decoder}

    def stored(self) -> Weights:
        """The weights as they come back from a file, which holds half precision: what is scored is what is offered."""
        head, decoder = ({k: v.to(torch.float16).to(v.dtype) for k, v in p.items()} for p in (self.head, self.decoder))
        return Weights(head, decoder)


def weights_of(model: LoadedModel) -> Weights:
    """The weights of a model that can be fine-tuned.

    Raises:
        InputError: It is none of those: only models on LiteMedSAM with the embedding CAM learn from corrections.
    """
    backend, guidance = model.backend, model.guidance
    if not is_litemedsam(backend) or not isinstance(guidance, EmbeddingCam):
        raise InputError(
            f"{model.spec} cannot learn from corrections: only models on LiteMedSAM whose boxes come from the "
            "embedding CAM can."
        )
    decoder = {name: tensor.detach().clone() for name, tensor in PromptedDecoder(backend.network).named_parameters()}
    return Weights({name: tensor.clone() for name, tensor in guidance.head.state_dict().items()}, decoder)


def between(parent: Weights, trained: Weights, shares: Shares) -> Weights:
    """Weights part of the way from the parent's to the trained ones.

    Args:
        parent: Where the way begins.
        trained: Where it ends.
        shares: How far each part goes.
    """
    return Weights(
        mixed(parent.head, trained.head, shares.head), mixed(parent.decoder, trained.decoder, shares.decoder)
    )


def with_weights(model: LoadedModel, weights: Weights, boxes: BoxSettings | None = None) -> LoadedModel:
    """A model with other weights, ready to compute; the encoder is shared.

    Raises:
        InputError: The model is not on LiteMedSAM.
    """
    decoder = PromptedDecoder(require_litemedsam(model.backend).network)
    decoder.load_state_dict(dict(weights.decoder), strict=False)  # buffers are those of the base model
    return with_modules(model, head_from(weights.head), decoder, boxes)


def with_modules(
    model: LoadedModel, head: nn.Module, decoder: nn.Module, boxes: BoxSettings | None = None
) -> LoadedModel:
    """A model with other modules, as in the midst of a training; the head is copied, the decoder is not.

    Args:
        model: The model.
        head: An `EmbeddingHead`.
        decoder: A `PromptedDecoder`.
        boxes: How boxes are made of maps; None for the model's own settings.
    """
    return replace(
        model,
        backend=_OtherDecoder(model.backend, decoder.to(model.device)),
        guidance=EmbeddingCam(head_from(head.state_dict()), model.device),
        boxes=model.boxes if boxes is None else boxes,
    )


def head_from(state: Mapping[str, torch.Tensor]) -> EmbeddingHead:
    """A head of its own with the given tensors."""
    head = EmbeddingHead()
    head.load_state_dict(dict(state))
    return head


class _OtherDecoder(WrappedBackend):
    """A backend that encodes as another one does, and decodes with a decoder of its own."""

    concurrency = 1

    def __init__(self, encoder: SamBackend, decoder: nn.Module) -> None:
        super().__init__(encoder)
        self._decoder = decoder

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`."""
        decoded: tuple[torch.Tensor, torch.Tensor] = self._decoder(embeddings, boxes.to(self.device), mask_logits)
        return decoded
