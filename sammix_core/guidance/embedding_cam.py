"""The embedding CAM: guidance from the SAM embedding itself, so that one encoder pass serves boxes and masks."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch

from sammix_core.engines.compiled_module import CompiledModule
from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.embedding_head import EmbeddingHead

_log = logging.getLogger(__name__)

NAME = "embedding_cam"
PREFIX = "guidance."
_SIZE = 64  # cells of the embedding along a side


class EmbeddingCam:
    """A trained `EmbeddingHead` as a `Guidance`.

    Args:
        head: The network.
        device: Where it computes.
        compiled: Whether OpenVINO computes it; where it does not run, torch does.

    Attributes:
        name: "embedding_cam".
        needs_embeddings: True.
        head: The network, in eval mode.
    """

    name = NAME
    needs_embeddings = True

    def __init__(self, head: EmbeddingHead, device: torch.device, compiled: bool = False) -> None:
        self.head = head.to(device).eval().requires_grad_(False)
        self._device = device
        self._compiled: CompiledModule | None = None
        if compiled:
            example = torch.zeros(1, head.channels, _SIZE, _SIZE)
            shape = [-1, head.channels, _SIZE, _SIZE]
            weights = list(self.head.parameters())
            self._compiled = CompiledModule(lambda: self.head, weights, [example], [shape], one_by_one=True)

    @classmethod
    def from_state(
        cls, state: Mapping[str, torch.Tensor], device: torch.device, compiled: bool = False
    ) -> EmbeddingCam:
        """Builds it from a model's weights, whose names begin with "guidance.".

        Raises:
            InputError: The weights are not those of an embedding head.
        """
        head = EmbeddingHead()
        weights = {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}
        try:
            head.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError("The model's guidance is not an embedding CAM that this version knows.") from error
        return cls(head, device, compiled)

    @torch.inference_mode()
    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """See `Guidance.maps`; the images are not used."""
        logits, slice_logits = self._logits(embeddings.to(self._device, torch.float32))
        return GuidanceMaps(logits[:, 0].cpu().numpy(), torch.sigmoid(slice_logits).cpu().numpy())

    def _logits(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self._compiled is not None:
            try:
                logits, slice_logits = self._compiled(embeddings)
                return torch.from_numpy(logits), torch.from_numpy(slice_logits)
            except (ImportError, OSError, RuntimeError) as error:
                _log.warning("OpenVINO cannot run the embedding CAM, so PyTorch runs it: %s", error)
                self._compiled = None
        return self.head(embeddings)
