"""Sections of a training configuration: how each part is trained.

Plain dataclasses, since the panel fine-tunes with them and installs no pydantic; `config_file` checks what a file says.
"""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.errors import InputError
from sammix_core.guidance.embedding_cam import NAME as EMBEDDING_CAM
from sammix_core.guidance.gradcam import METHODS
from sammix_core.guidance.resnet38 import LAYERS
from sammix_core.guidance.resnet38_cam import NAME as RESNET38
from sammix_core.guidance.resnet38_cam import OTSU

LOSSES = ("focal", "cross_entropy")
PAPER, CALIBRATED = "paper", "calibrated"
FIRST, LAST = "first", "last"
THRESHOLDS = (PAPER, OTSU, CALIBRATED)


@dataclass(frozen=True)
class HeadTraining:
    """How the guidance head is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Slices a step.
        learning_rate: Peak of a one-cycle schedule (AdamW).
        weight_decay: AdamW's.
        average_from: Share of the steps after which weights are averaged (exponentially).
    """

    steps: int = 300
    batch: int = 12
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    average_from: float = 0.5


@dataclass(frozen=True)
class DecoderTraining:
    """How prompt encoder and mask decoder are trained.

    Attributes:
        steps: Optimiser steps; 0 keeps LiteMedSAM's own.
        batch: Slices a step.
        learning_rate: Peak of the schedule; small, since naive training hurts other patients.
        weight_decay: AdamW's.
        part_share: Share of the slices with several parts that teach one of them, with its own box.
    """

    steps: int = 90
    batch: int = 6
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    part_share: float = 0.0


@dataclass(frozen=True)
class ResNetTraining:
    """How ResNet-38 is trained, on image-level labels alone, and how its maps are made (`resnet38`).

    Attributes:
        steps: Optimiser steps.
        batch: Slices a step, half of them with the structure.
        learning_rate: Peak of a one-cycle schedule (AdamW).
        weight_decay: AdamW's.
        average_from: Share of the steps after which weights are averaged (exponentially).
        width: Factor on the network's channels; 1 is the paper's, 0.5 is a quarter of its parameters.
        loss: "focal" or "cross_entropy".
        method: "gradcam", "hirescam", "layercam" or "eigencam".
        layer: Stage whose maps are taken, "layer1" to "layer4".
        threshold: "paper" (0.4), "otsu", or "calibrated" on masks by networks that have not seen the patient.
    """

    steps: int = 300
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    average_from: float = 0.5
    width: float = 0.5
    loss: str = LOSSES[0]
    method: str = "gradcam"
    layer: str = LAYERS[-1]
    threshold: str = CALIBRATED

    def check(self) -> None:
        """Refuses values that there are not.

        Raises:
            InputError: One of them.
        """
        _check("resnet38", "loss", self.loss, LOSSES)
        _check("resnet38", "method", self.method, tuple(METHODS))
        _check("resnet38", "layer", self.layer, LAYERS)
        _check("resnet38", "threshold", self.threshold, THRESHOLDS)
        if self.steps < 1 or not 0.05 <= self.width <= 2:
            raise InputError("The training configuration's resnet38 needs steps, and a width from 0.05 to 2.")


@dataclass(frozen=True)
class LoraTraining:
    """How LoRA on the image encoder is trained, with decoder and guidance head beside it (`lora`).

    Attributes:
        steps: Optimiser steps.
        batch: Slices a step; each goes through the encoder forwards and backwards, seconds a slice on a CPU.
        learning_rate: LoRA's peak of the schedule; decoder and head, which are trained already, get a quarter of it.
        weight_decay: AdamW's.
        rank: Of the matrices.
        head_weight: Weight of the guidance head's loss, which keeps it at home in the changed embeddings.
        prompts: Whose boxes and mask prompts are trained on, "embedding_cam" or "resnet38".
        order: "last": after head and decoder, which go along. "first": before them, beginning with LiteMedSAM's own
            decoder; LoRA is then merged into the encoder for good, all views are encoded with that, and head, boxes and
            decoder are trained on them.
        views: With the order "first", augmented views a case beside the clean one that LoRA is trained on.
        shared: With the order "first", whether models without a patient take the LoRA of the model with all patients,
            and the decoder trained beside it to begin with. That spares encoding all views again for each, but LoRA has
            seen the patient, which flatters them.
    """

    steps: int = 120
    batch: int = 2
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    rank: int = 8
    head_weight: float = 0.5
    prompts: str = EMBEDDING_CAM
    order: str = LAST
    views: int = 1
    shared: bool = False

    def check(self) -> None:
        """Refuses values that there are not.

        Raises:
            InputError: One of them.
        """
        _check("lora", "prompts", self.prompts, (EMBEDDING_CAM, RESNET38))
        _check("lora", "order", self.order, (FIRST, LAST))
        if self.order == FIRST and self.prompts == RESNET38:
            raise InputError("The training configuration's lora is trained first with prompts of embedding_cam alone.")
        if self.steps < 1 or self.rank < 1:
            raise InputError("The training configuration's lora needs steps and a rank.")


def _check(section: str, key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(
            f"The training configuration's {section} has the {key} {value!r}; choose one of {', '.join(choices)}."
        )
