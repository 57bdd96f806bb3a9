"""Runs one stage of a refiner without clicks: in OpenVINO on a CPU, else in torch."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import nn

from sammix_core.engines.compiled_module import CompiledModule
from sammix_core.engines.openvino_compiler import precision_beside
from sammix_core.refinement.embedding_crop import CropMatrices
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.network import SliceRefiner
from sammix_core.refinement.prompts import boxes_of
from sammix_core.sam.litemedsam import EMBEDDING_CHANNELS, EMBEDDING_SIZE

_log = logging.getLogger("sammix_core.refinement")

# (embedding (1, 256, h, w), last mask's logits (1, 1, 4h, 4w)) -> logits of the same shape
Stage = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def stage_of(refiner: SliceRefiner, engine: str, precision: str) -> Stage:
    """A refiner's stage, run by the encoder's engine.

    Args:
        refiner: In eval mode; not trained further while the stage is in use.
        engine: The encoder's: "openvino", or another for torch.
        precision: The encoder's. With float32 the refiner computes in float32 too, else OpenVINO uses bfloat16.
    """
    if engine == "openvino":
        return _InOpenVino(refiner, precision_beside(precision))
    return _in_torch(refiner, next(refiner.parameters()).device)


def _in_torch(refiner: SliceRefiner, device: torch.device) -> Stage:
    no_clicks = Clicks.none(1, device, axes=2)
    return lambda embedding, logits: refiner(embedding.to(device), logits.to(device), no_clicks)


class _InOpenVino:
    """One slice at a time, from any thread. Where OpenVINO fails, torch runs this and all further slices."""

    def __init__(self, refiner: SliceRefiner, precision: str) -> None:
        self._refiner = refiner
        self._torch_stage: Stage | None = None
        boxes = torch.tensor([[40.0, 40.0, 99.0, 99.0]])
        examples = (
            torch.zeros(1, EMBEDDING_CHANNELS, EMBEDDING_SIZE, EMBEDDING_SIZE),
            torch.zeros(1, 1, 4 * EMBEDDING_SIZE, 4 * EMBEDDING_SIZE),
            boxes,
            *refiner.crop_matrices(boxes, EMBEDDING_SIZE),
        )
        shapes = [list(example.shape) for example in examples]
        weights = list(refiner.parameters())
        # One by one, as in the decoder: a slice's mask must not depend on which others are computed beside it.
        self._compiled = CompiledModule(
            lambda: _PromptedStage(refiner).eval(), weights, examples, shapes, one_by_one=True, precision=precision
        )

    def __call__(self, embedding: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        if self._torch_stage is None:
            boxes = boxes_of(logits, Clicks.none(1, axes=2))
            matrices = self._refiner.crop_matrices(boxes, embedding.shape[-1])
            try:
                return torch.from_numpy(self._compiled(embedding, logits, boxes, *matrices)[0])
            except (ImportError, OSError, RuntimeError) as error:
                _log.warning("The refiner runs in torch, because OpenVINO failed: %s", error)
                self._torch_stage = _in_torch(self._refiner, torch.device("cpu"))
        return self._torch_stage(embedding, logits)


class _PromptedStage(nn.Module):
    """The module that is compiled."""

    def __init__(self, refiner: SliceRefiner) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(
        self, embedding: torch.Tensor, mask_logits: torch.Tensor, boxes: torch.Tensor, *matrices: torch.Tensor
    ) -> torch.Tensor:
        return self.refiner.run_prompted(embedding, mask_logits, boxes, None, CropMatrices(*matrices))
