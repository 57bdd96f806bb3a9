"""How prompt encoder and mask decoder run for inference: in OpenVINO on a CPU, else in torch.

OpenVINO's form is `LightDecoder`. In bfloat16 it takes two thirds of float32's time, and of a slice's mask two pixels
or so change, which is why it goes with an encoder that is not exact either, and with no other.
"""

from __future__ import annotations

from typing import Any

import torch

from sammix_core.engines.compiled_module import CompiledModule
from sammix_core.engines.openvino_compiler import FLOAT32, precision_beside
from sammix_core.sam.light_decoder import LightDecoder

_SIZE = 64  # cells of the embedding along a side; a mask prompt has four times as many
_MOST_AT_ONCE = 8  # slices a call; more gain nothing and take 60 MB each


class DecoderEngine:
    """The compiled decoder of one network; compiled again when the network's weights have changed.

    Args:
        network: LiteMedSAM, on the CPU.
        encoder_precision: How exactly the encoder computes.
    """

    def __init__(self, network: Any, encoder_precision: str = FLOAT32) -> None:
        prompts, decoder = network.prompt_encoder, network.mask_decoder
        examples = [
            torch.zeros(2, 256, _SIZE, _SIZE),
            torch.tensor([[8.0, 8.0, 99.0, 99.0]] * 2),
            torch.zeros(2, 1, 4 * _SIZE, 4 * _SIZE),
            torch.ones(2, 1, 1, 1),
        ]
        shapes = [[-1, 256, _SIZE, _SIZE], [-1, 4], [-1, 1, 4 * _SIZE, 4 * _SIZE], [-1, 1, 1, 1]]
        weights = [*prompts.parameters(), *decoder.parameters()]
        self._compiled = CompiledModule(
            lambda: LightDecoder(prompts, decoder).eval(),
            weights,
            examples,
            shapes,
            one_by_one=True,  # so that resetting a box restores the mask of the run to the bit
            precision=precision_beside(encoder_precision),
        )

    def __call__(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`.

        Raises:
            ImportError, OSError, RuntimeError: OpenVINO does not run here.
        """
        masks, scores = [], []
        count = len(embeddings)
        prompted = torch.full((count, 1, 1, 1), float(mask_logits is not None))
        if mask_logits is None:
            mask_logits = torch.zeros(count, 1, 4 * _SIZE, 4 * _SIZE)
        for start in range(0, count, _MOST_AT_ONCE):
            batch = slice(start, start + _MOST_AT_ONCE)
            batch_masks, batch_scores = self._compiled(
                embeddings[batch], boxes[batch], mask_logits[batch], prompted[batch]
            )
            masks.append(torch.from_numpy(batch_masks))
            scores.append(torch.from_numpy(batch_scores))
        return (masks[0], scores[0]) if len(masks) == 1 else (torch.cat(masks), torch.cat(scores))
