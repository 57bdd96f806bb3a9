"""The training configuration of M-SAM: a YAML file with `method: msam`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from sammix_core.engines.device import choose_device
from sammix_core.errors import InputError
from sammix_core.refinement.msam.adapt import RANK
from sammix_core.refinement.msam.crops import HU, NORMALISED
from sammix_core.refinement.msam.spec import COMPACT, FULL, MSamSpec
from sammix_core.refinement.msam.stages import REFINING_STAGES
from sammix_core.training.config_file import MethodConfig, section

METHOD = "msam"
NETWORKS = {"full": FULL, "compact": COMPACT}
LORA, WHOLE = "lora", "whole"


@dataclass(frozen=True)
class MSamTraining:
    """How M-SAM is trained; defaults are its authors' but for the number of steps.

    Attributes:
        network: "full" (SAM-Med3D's sizes) or "compact", for a CPU.
        base_weights: SAM-Med3D's file, beside the configuration; "" for fresh weights.
        encoder: What of the image encoder is trained: "lora" on top of the base weights, or the "whole" of it.
        rank: Of LoRA.
        refining_stages: Stages after the main one.
        steps: Optimiser steps.
        batch: Cubes a step.
        learning_rate: Of encoder and adapter.
        decoder_rate: Of prompt encoder and decoder.
        weight_decay: AdamW's.
        first_drop, second_drop: Shares of the steps after which the rates fall to a tenth.
        flips: Turn each axis of a cube round half of the time.
        shift: Voxels that a cube may lie off the middle of a component.
        values: "hu", or "normalised" for images that are no CT in Hounsfield units.
        device: "auto", "cpu" or "cuda".
        sizes: Sizes of the network that differ from those of `network`, by the names of `MSamSpec`.
    """

    network: str = "full"
    base_weights: str = ""
    encoder: str = LORA
    rank: int = RANK
    refining_stages: int = REFINING_STAGES
    steps: int = 4000
    batch: int = 2
    learning_rate: float = 8e-4
    decoder_rate: float = 8e-5
    weight_decay: float = 0.1
    first_drop: float = 0.6
    second_drop: float = 0.9
    flips: bool = True
    shift: int = 0
    values: str = HU
    device: str = "auto"
    sizes: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuses values that there are not, or that do not fit each other.

        Raises:
            InputError: One of them.
        """
        choices = {"network": tuple(NETWORKS), "encoder": (LORA, WHOLE), "values": (HU, NORMALISED)}
        for key, allowed in choices.items():
            if getattr(self, key) not in allowed:
                raise InputError(
                    f"The training configuration's msam has the {key} {getattr(self, key)!r}; choose one of "
                    f"{', '.join(allowed)}."
                )
        if min(self.steps, self.batch, self.rank) < 1:
            raise InputError("The training configuration's msam needs steps, a batch and a rank.")
        if self.encoder == LORA and not self.base_weights:
            raise InputError(
                "The training configuration's msam wants LoRA on weights that nobody trained: name base_weights, or "
                "say encoder: whole."
            )


class MSamConfig(MethodConfig):
    """A whole configuration; see `MethodConfig` for what all methods have.

    Attributes:
        training: How M-SAM is trained, the section `msam`.
    """

    training: Annotated[MSamTraining, section(MSamTraining)] = Field(default_factory=MSamTraining, alias="msam")

    @property
    def spec(self) -> MSamSpec:
        """Sizes of the network."""
        return MSamSpec.from_dict({**NETWORKS[self.training.network].to_dict(), **self.training.sizes})

    @property
    def base_weights(self) -> Path | None:
        """SAM-Med3D's file, or None."""
        return self.folder / self.training.base_weights if self.training.base_weights else None

    def check(self) -> None:
        """See `MethodConfig.check`."""
        super().check()
        choose_device(self.training.device)
        _ = self.spec
        base = self.base_weights
        if base is not None and not base.is_file():
            raise InputError(f"The training configuration's base_weights are not there: {base} is no file.")
