"""The configuration of a semi-supervised training: the same file as any other, with `method: sammix`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import PositiveInt

from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.training.config_file import MethodConfig, Precision, check_cases, section
from sammix_core.training.semi_supervised.settings import SamMixTraining

METHOD = "sammix"


class SemiSupervisedConfig(MethodConfig):
    """A whole configuration; see `MethodConfig` for what all methods have.

    The seed decides everything random but the views, which every seed shares.

    Attributes:
        precision: Lightning Fabric's; None for "bf16-mixed" on CUDA and "32-true" on a CPU.
        preprocessing: Window, size and crop.
        encoder: Precision of the encoder that the views go through: "float32", or "int8" as in use, with OpenVINO.
        sammix: How it is trained.
        accelerator: "auto", "cpu" or "cuda".
        devices, nodes: How many processes Fabric's launcher starts, on how many machines.
    """

    precision: Precision | None = None  # type: ignore[assignment]
    preprocessing: Annotated[PreprocessingSpec, section(PreprocessingSpec)] = PreprocessingSpec()
    encoder: Literal["float32", "int8"] = "float32"
    sammix: Annotated[SamMixTraining, section(SamMixTraining)] = SamMixTraining()
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: PositiveInt = 1
    nodes: PositiveInt = 1

    def check(self) -> None:
        """See `MethodConfig.check`."""
        check_cases(self.cases, labelled=False, own_names=True)
