"""What is measured: a method with so many masks of so many patients, in one draw of whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ONE_PATIENT, PATIENTS = "one_patient", "patients"
PROTOCOLS = (ONE_PATIENT, PATIENTS)
DRAWS = (0, 1, 2)
ALL_PATIENTS = 12
WHOLE, WITHOUT, CEILING = "sammix_embedding", "sammix_embedding_no_unlabelled", "sammix_embedding_ceiling"
# Masks, and how many patients they are of
_MASKS = ((5, 3), (10, 3), (20, 3), (50, 3), (5, 1), (20, 1))
_PARTS_AND_BASELINES = (
    "sammix_embedding_no_mask_prompt",
    "sammix_embedding_decoder_untrained",
    "sammix_resnet38",
    "unet",
    "segresnet",
    "sam_pp",
)
_LORA = "sammix_embedding_lora"


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        protocol: "one_patient", or "patients" with further patients of whom only image-level labels are known.
        method: Name of the method.
        labelled_slices: Masks, those for early stopping included; None for all that there are.
        patients_labelled: How many patients they are of.
        draw: Who that is, which slices, and the seed of the training.
    """

    protocol: str
    method: str
    labelled_slices: int | None
    patients_labelled: int
    draw: int

    def __str__(self) -> str:
        masks = "all" if self.labelled_slices is None else self.labelled_slices
        return f"{self.method}/{masks}/{self.patients_labelled}/{self.draw}"


def planned() -> list[Cell]:
    """All cells of the protocol `patients`, the most wanted first, draw by draw within what is wanted alike."""
    few_and_many = ((5, 3), (50, 3))
    return [
        *_cells((WHOLE, WITHOUT), _MASKS, DRAWS),
        *(Cell(PATIENTS, CEILING, None, ALL_PATIENTS, draw) for draw in DRAWS),
        *(cell for name in _PARTS_AND_BASELINES for cell in _cells((name,), few_and_many, DRAWS)),
        *_cells((_LORA,), few_and_many, DRAWS[:1]),
    ]


def planned_out_of_fold(variants: Sequence[str], counts: Sequence[int] = (5, 50)) -> list[Cell]:
    """The cells by which variants of SAM-Mix are chosen: as it is, without unlabelled patients, and each variant.

    Args:
        variants: Names, such as "mean_teacher" or, for two together, "mean_teacher+agreement".
        counts: Masks, of three patients.
    """
    methods = (WHOLE, WITHOUT, *(f"{WHOLE}+{name}" for name in variants))
    return _cells(methods, [(count, 3) for count in counts], DRAWS)


def _cells(methods: Iterable[str], masks: Iterable[tuple[int, int]], draws: Iterable[int]) -> list[Cell]:
    methods, masks = tuple(methods), tuple(masks)
    return [
        Cell(PATIENTS, method, count, patients, draw)
        for draw in draws
        for count, patients in masks
        for method in methods
    ]
