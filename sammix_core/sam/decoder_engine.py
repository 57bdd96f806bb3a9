"""How prompt encoder and mask decoder run when no gradients are wanted: in OpenVINO on a CPU, else in torch.

OpenVINO's form is `LightDecoder`, in float32: a box that a person drags shall give what torch would give.
"""

from __future__ import annotations

from typing import Any

import torch

from sammix_core.sam.compiling import compile_module
from sammix_core.sam.light_decoder import LightDecoder

_SIZE = 64  # cells of the embedding along a side; a mask prompt has four times as many
_MOST_AT_ONCE = 8  # slices a call; more gain nothing and take 60 MB each


class DecoderEngine:
    """The compiled decoder of one network; made anew when the network's weights were changed.

    Args:
        network: LiteMedSAM, on the CPU.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._compiled: Any = None
        self._made_of: tuple[tuple[int, int], ...] = ()

    def __call__(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`; the mask prompt is not optional here.

        Raises:
            ImportError, OSError, RuntimeError: OpenVINO does not run here.
        """
        weights = self._weights()
        if self._compiled is None or weights != self._made_of:
            self._compiled, self._made_of = self._compile(), weights
        arrays = [one.contiguous().float().numpy() for one in (embeddings, boxes, mask_logits)]
        masks, scores = [], []
        for start in range(0, len(embeddings), _MOST_AT_ONCE):
            found = self._compiled([array[start : start + _MOST_AT_ONCE] for array in arrays])
            masks.append(torch.from_numpy(found[0].copy()))
            scores.append(torch.from_numpy(found[1].copy()))
        return torch.cat(masks), torch.cat(scores)

    def _weights(self) -> tuple[tuple[int, int], ...]:
        """Which tensors these are and how often each was written to: a training in place shows."""
        parts = (self._network.prompt_encoder, self._network.mask_decoder)
        return tuple((one.data_ptr(), one._version) for part in parts for one in part.parameters())

    def _compile(self) -> Any:
        decoder = LightDecoder(self._network.prompt_encoder, self._network.mask_decoder).eval()
        examples = [
            torch.zeros(2, 256, _SIZE, _SIZE),
            torch.tensor([[8.0, 8.0, 99.0, 99.0]] * 2),
            torch.zeros(2, 1, 4 * _SIZE, 4 * _SIZE),
        ]
        shapes = [[-1, 256, _SIZE, _SIZE], [-1, 4], [-1, 1, 4 * _SIZE, 4 * _SIZE]]
        return compile_module(decoder, examples, shapes)
