"""One stage of a refiner without a click, in use: in OpenVINO on a CPU, else in torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from sammix_core.engines.compiled_module import CompiledModule
from sammix_core.engines.openvino_compiler import precision_beside
from sammix_core.refinement.embedding_crop import Cutting
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.network import SliceRefiner
from sammix_core.refinement.prompts import boxes_of
from sammix_core.sam.litemedsam import EMBEDDING_CHANNELS, EMBEDDING_SIZE

# (embedding (1, 256, h, w), last mask's logits (1, 1, 4h, 4w)) -> logits of the same shape
Stage = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def stage_of(refiner: SliceRefiner, engine: str, precision: str) -> Stage:
    """A refiner's stage, run as the encoder is.

    Args:
        refiner: In eval mode; not trained further while the stage is in use.
        engine: The encoder's: "openvino", or another for torch.
        precision: The encoder's. Beside one in float32 the refiner is exact too, else it is in bfloat16 in OpenVINO.
    """
    if engine == "openvino":
        return _InOpenVino(refiner, precision_beside(precision))
    return _in_torch(refiner, next(refiner.parameters()).device)


def _in_torch(refiner: SliceRefiner, device: torch.device) -> Stage:
    none = Clicks.none(1, device, axes=2)
    return lambda embedding, logits: refiner(embedding.to(device), logits.to(device), none)


class _InOpenVino:
    """One slice at a time, from any thread; in torch from then on where OpenVINO does not run."""

    def __init__(self, refiner: SliceRefiner, precision: str) -> None:
        self._refiner = refiner
        self._other: Stage | None = None
        boxes = torch.tensor([[40.0, 40.0, 99.0, 99.0]])
        examples = (
            torch.zeros(1, EMBEDDING_CHANNELS, EMBEDDING_SIZE, EMBEDDING_SIZE),
            torch.zeros(1, 1, 4 * EMBEDDING_SIZE, 4 * EMBEDDING_SIZE),
            boxes,
            *refiner.cutting(boxes, EMBEDDING_SIZE),
        )
        shapes = [list(one.shape) for one in examples]
        weights = list(refiner.parameters())
        # One by one, as the decoder: what a slice's mask is must not depend on whether others are made beside it.
        self._compiled = CompiledModule(
            lambda: _Asked(refiner).eval(), weights, examples, shapes, one_by_one=True, precision=precision
        )

    def __call__(self, embedding: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        if self._other is None:
            boxes = boxes_of(logits, Clicks.none(1, axes=2))
            cutting = self._refiner.cutting(boxes, embedding.shape[-1])
            try:
                return torch.from_numpy(self._compiled(embedding, logits, boxes, *cutting)[0])
            except (ImportError, OSError, RuntimeError):
                self._other = _in_torch(self._refiner, torch.device("cpu"))
        return self._other(embedding, logits)


class _Asked(nn.Module):
    """What is compiled."""

    def __init__(self, refiner: SliceRefiner) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(
        self, embedding: torch.Tensor, mask_logits: torch.Tensor, boxes: torch.Tensor, *cutting: torch.Tensor
    ) -> torch.Tensor:
        return self.refiner.asked(embedding, mask_logits, boxes, None, Cutting(*cutting))
