"""What early stopping evaluates: patients, or slices where there is only one patient; drawn once and kept.

A split that is drawn again each time lets slices leak that an earlier training has learnt from. So it lies in a file:
what was held back stays held back, and what was trained on stays so. Slices that are new are added.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.datasets.cases import LabelledCase
from sammix_core.datasets.sampling import spread
from sammix_core.documents import check_keys, read_json
from sammix_core.errors import InputError
from sammix_core.files import write_text_atomic

SCHEMA = "sammix-split/1"
BY_PATIENT, BY_SLICE = "patient", "slice"
_KEYS = {"schema", "by", "held_back", "trained_on"}


@dataclass(frozen=True)
class Split:
    """Who is held back.

    Attributes:
        by: "patient" or "slice".
        held_back: Case -> canonical slices with a known mask that early stopping evaluates; of a patient held back
            all cases are here, those without a mask with no slices.
        trained_on: Case -> those that are trained on.
    """

    by: str
    held_back: dict[str, tuple[int, ...]]
    trained_on: dict[str, tuple[int, ...]]

    def keeps(self, name: str, index: int) -> bool:
        """Whether a slice is kept out of training, whatever is known of it."""
        if self.by == BY_PATIENT:
            return name in self.held_back
        return index in self.held_back.get(name, ())

    def write(self, path: Path) -> None:
        """Writes it whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"schema": SCHEMA, "by": self.by, "held_back": self.held_back, "trained_on": self.trained_on}
        write_text_atomic(path, json.dumps(entry, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Split:
        """Reads what `write` wrote.

        Raises:
            InputError: The file is damaged.
        """
        entry = read_json(path, "split")
        if (
            not isinstance(entry, dict)
            or entry.get("schema") != SCHEMA
            or entry.get("by") not in (BY_PATIENT, BY_SLICE)
        ):
            raise InputError(f"{path} is no split of the kind {SCHEMA}.")
        check_keys(entry, required=_KEYS, allowed=_KEYS, what=f"The split {path}")
        return cls(entry["by"], _slices(entry["held_back"], path), _slices(entry["trained_on"], path))


def split_of(cases: Sequence[LabelledCase], share: float, seed: int, path: Path) -> Split:
    """The split in a file, with what is new added; made where there is none yet.

    With two patients or more that have masks, whole patients are held back, with all their volumes; with one, slices
    of it.

    Args:
        cases: All cases.
        share: How many of the patients or slices are held back; one at least.
        seed: Which, where the file does not say.
        path: The file.

    Raises:
        InputError: There are too few masks to hold one back, none is left of what the file held back, or the file
            holds back one volume of a patient and trains on another.
    """
    labelled = {case.name: (sorted(case.masks), list(case.absent)) for case in cases if case.masks}
    if not labelled:
        raise InputError("No training case has a slice with a mask of the structure; SAM-Mix needs a few.")
    before = Split.read(path) if path.is_file() else None
    patients = {case.patient for case in cases if case.masks}
    by = before.by if before else (BY_PATIENT if len(patients) > 1 else BY_SLICE)
    rng = np.random.default_rng(seed)
    split = _by_patient(cases, share, rng, before) if by == BY_PATIENT else _by_slice(labelled, share, rng, before)
    _check(split, labelled)
    if split != before:
        split.write(path)
    return split


def _by_patient(cases: Sequence[LabelledCase], share: float, rng: np.random.Generator, before: Split | None) -> Split:
    patient_of = {case.name: case.patient for case in cases}
    old_held, old_trained = (
        {patient_of[name] for name in side if name in patient_of}
        for side in ((before.held_back, before.trained_on) if before else ({}, {}))
    )
    if both := sorted(old_held & old_trained):
        raise InputError(
            f"The split holds back one volume of the patient {both[0]} and trains on another; delete the split and the "
            "checkpoints beside it, and train again."
        )
    patients = sorted({case.patient for case in cases if case.masks})
    validation = [patient for patient in patients if patient in old_held]
    free = [patient for patient in patients if patient not in old_held | old_trained]
    missing = max(1, round(share * len(patients))) - len(validation)
    validation += [str(patient) for patient in rng.permutation(free)[: max(0, missing)]]
    held_back, trained_on = {}, {}
    for case in sorted(cases, key=lambda case: case.name):
        slices = tuple(sorted([*case.masks, *case.absent])) if case.masks else ()
        if case.patient in validation:
            held_back[case.name] = slices
        elif case.masks:
            trained_on[case.name] = slices
    return Split(BY_PATIENT, held_back, trained_on)


def _by_slice(
    labelled: dict[str, tuple[list[int], list[int]]], share: float, rng: np.random.Generator, before: Split | None
) -> Split:
    held_back, trained_on = {}, {}
    for name, kinds in labelled.items():
        old_held = set(before.held_back.get(name, ())) if before else set()
        old_trained = set(before.trained_on.get(name, ())) if before else set()
        validation: list[int] = []
        for slices in kinds:  # those with the structure and those without, in the same share
            mine = [index for index in slices if index in old_held]
            free = [index for index in slices if index not in old_held | old_trained]
            wanted = min(max(1, round(share * len(slices))), len(slices) - 1) - len(mine)
            if before is None or wanted > 0:
                mine += spread(free, max(0, wanted), float(rng.random()) * 0.999)[: max(0, wanted)]
            validation += mine
        held_back[name] = tuple(sorted(validation))
        trained_on[name] = tuple(sorted({*kinds[0], *kinds[1]} - set(validation)))
    return Split(BY_SLICE, held_back, trained_on)


def _check(split: Split, labelled: dict[str, tuple[list[int], list[int]]]) -> None:
    masks = {(name, index) for name, (with_mask, _) in labelled.items() for index in with_mask}
    validation = {(name, index) for name, slices in split.held_back.items() for index in slices} & masks
    if not validation:
        raise InputError("No slice with a mask is left that early stopping can look at: label one more.")
    if validation == masks:
        raise InputError("There is one slice with a mask, and it is held back for early stopping: label one more.")


def _slices(entry: Any, path: Path) -> dict[str, tuple[int, ...]]:
    if not isinstance(entry, dict) or not all(
        isinstance(slices, list) and all(type(index) is int for index in slices) for slices in entry.values()
    ):
        raise InputError(f"The split {path} is damaged.")
    return {name: tuple(slices) for name, slices in entry.items()}
