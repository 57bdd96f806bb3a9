"""The configuration of supervised training, the default method; a YAML file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import NonNegativeInt

from sammix_core.errors import InputError
from sammix_core.guidance.resnet38_cam import NAME as RESNET38
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.training.config_file import Indices, MethodConfig, check_cases, section
from sammix_core.training.settings import DecoderTraining, HeadTraining, LoraTraining, ResNetTraining


class TrainingConfig(MethodConfig):
    """A whole configuration; see `MethodConfig` for what all methods have.

    Attributes:
        views: Augmented views a case: how many, or their numbers, on which the strength of the augmentation depends.
        encoder: Precision of the encoder that the views go through: "float32", or "int8" as in use, with OpenVINO.
        preprocessing: Window, size and crop.
        clean_density: Whether the model's masks are cleaned by density, see `MaskSettings`.
        folds: Into how many groups patients are dealt, in turn, for what is trained without a patient: the patients of
            a group are left out together, which spares trainings; 0 leaves out each alone.
        head, decoder: How these are trained.
        resnet38, lora: How the SAM-Mix paper's own parts are trained; None where they are not.
    """

    views: NonNegativeInt | Indices
    encoder: Literal["float32", "int8"] = "float32"
    clean_density: bool = False
    folds: NonNegativeInt = 0
    preprocessing: Annotated[PreprocessingSpec, section(PreprocessingSpec)] = PreprocessingSpec()
    head: Annotated[HeadTraining, section(HeadTraining)] = HeadTraining()
    decoder: Annotated[DecoderTraining, section(DecoderTraining)] = DecoderTraining()
    resnet38: Annotated[ResNetTraining | None, section(ResNetTraining)] = None
    lora: Annotated[LoraTraining | None, section(LoraTraining)] = None

    def left_out_with(self, patient: str | None) -> tuple[str, ...]:
        """The patients that are left out where one is, itself among them; none for None."""
        patients = list(dict.fromkeys(case.patient for case in self.cases))
        if patient is None or not self.folds or patient not in patients:
            return () if patient is None else (patient,)
        return tuple(patients[patients.index(patient) % self.folds :: self.folds])

    def check(self) -> None:
        """See `MethodConfig.check`."""
        check_cases(self.cases, own_names=True)
        if self.head.steps < 1:
            raise InputError("The training configuration's head needs steps; only the decoder can do without.")
        if self.folds == 1:
            raise InputError("The training configuration's folds would leave out all patients; use 2 or more, or 0.")
        if self.lora is not None and self.lora.prompts == RESNET38 and self.resnet38 is None:
            raise InputError("The training configuration's lora wants prompts of resnet38, which has no section.")
