"""What a run learns from and what it is checked on, out of correction sets and folders of cases."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sammix_core.datasets.case_folder import read_cases
from sammix_core.datasets.cases import LabelledCase
from sammix_core.datasets.correction import Correction, Source, case_key, corrections_of_volume
from sammix_core.datasets.correction_set import VIEWS_FOLDER, CorrectionSet, is_correction_set
from sammix_core.datasets.sampling import spread_with_ends
from sammix_core.datasets.split import Split
from sammix_core.errors import InputError
from sammix_core.finetuning.settings import FineTuneSettings
from sammix_core.model_store.store import user_folder
from sammix_core.preprocessing.spec import PreprocessingSpec

# Slices of a labelled case: neighbours teach the same, and each is encoded several times.
_MOST_WITH, _MOST_WITHOUT = 24, 8


@dataclass(frozen=True, eq=False)
class Sample:
    """One slice of a run.

    Attributes:
        case: The case's key.
        correction: The slice.
        held_back: Whether it is kept from learning.
        earlier: Whether the parent, or one before it, had learnt from the case.
        views: Folder of its views.
    """

    case: str
    correction: Correction
    held_back: bool
    earlier: bool
    views: Path

    @property
    def positive(self) -> bool:
        """Whether it shows the structure."""
        return bool(self.correction.mask.any())


@dataclass(frozen=True)
class SampleSet:
    """All slices of a run.

    Attributes:
        samples: The slices; each slice of a case once.
        notes: Plain sentences on what was left out.
    """

    samples: tuple[Sample, ...]
    notes: tuple[str, ...]

    @property
    def learnt(self) -> list[Sample]:
        """The slices to learn from."""
        return [sample for sample in self.samples if not sample.held_back]

    @property
    def held_back(self) -> list[Sample]:
        """The slices kept from learning."""
        return [sample for sample in self.samples if sample.held_back]


def collect_samples(
    settings: FineTuneSettings,
    target: str,
    known_cases: Collection[str],
    spec: PreprocessingSpec,
    run_folder: Path,
) -> SampleSet:
    """Reads everything that a run learns from.

    Args:
        settings: Sources, and how labelmaps are read.
        target: What the masks must show.
        known_cases: Keys of the cases that the parent has learnt from.
        spec: The parent's preprocessing.
        run_folder: Folder for the views of slices that are in no correction set.

    Raises:
        InputError: A source cannot be used, shows another structure, or there is not enough to learn from and check on.
    """
    samples: dict[tuple[str, int], Sample] = {}
    notes: list[str] = []
    for source in settings.sources:
        of_source = (
            _of_set(source, target, known_cases, notes)
            if is_correction_set(source)
            else _of_folder(source, settings, target, known_cases, spec, run_folder)
        )
        for sample in of_source:
            samples.setdefault((sample.case, sample.correction.slice_index), sample)
    check_enough(list(samples.values()))
    return SampleSet(tuple(samples.values()), tuple(notes))


def check_enough(samples: Sequence[Sample]) -> None:
    """Refuses what cannot be learnt from and checked at once.

    Raises:
        InputError: There is too little.
    """
    if not samples:
        raise InputError("There is nothing to learn from yet: correct some slices first.")
    shown = [sample for sample in samples if sample.positive]
    if not shown:
        raise InputError(
            "All masks are empty, so there is nothing to learn from; correct slices that show the structure."
        )
    if len(shown) == 1:
        raise InputError(
            "One slice alone cannot be learnt from and checked on; correct at least one more that shows the structure."
        )
    if all(sample.held_back for sample in shown):
        raise InputError(
            "All slices with the structure are held back to be checked on, so none is left to learn from; correct more "
            "slices, of another case if these are of one that is held back whole."
        )
    if not any(sample.held_back for sample in shown):
        raise InputError(
            "All slices with the structure are learnt from and none is held back to be checked on; correct one more."
        )


def _of_set(source: Path, target: str, known_cases: Collection[str], notes: list[str]) -> list[Sample]:
    corrections = CorrectionSet.open(source)
    if corrections.target != target:
        raise InputError(f"The corrections in {source} show {corrections.target}, not {target}.")
    notes += corrections.leftovers
    samples = []
    for entry in corrections.entries():
        try:
            correction = corrections.load(entry.id)
        except InputError as error:
            notes.append(str(error))
            continue
        views = corrections.folder / VIEWS_FOLDER
        samples.append(Sample(entry.case, correction, entry.held_back, entry.case in known_cases, views))
    return samples


def _of_folder(
    source: Path,
    settings: FineTuneSettings,
    target: str,
    known_cases: Collection[str],
    spec: PreprocessingSpec,
    run_folder: Path,
) -> list[Sample]:
    # Beside all runs and not in this one: the sides of a folder's slices must be the same in the next round.
    name = "".join(sign if sign.isalnum() else "_" for sign in target.lower())
    split = Split(user_folder() / "finetuning" / f"split-{name}.json")
    samples = []
    for case in read_cases(source, settings.label, settings.sparse, settings.values_are_hu):
        key = case_key(case.volume)
        corrections = corrections_of_volume(case.volume, None, _chosen(case), source=Source.LABEL, spec=spec)
        for correction in corrections:
            held_back = split.side(key, correction.slice_index, bool(correction.mask.any()))
            samples.append(Sample(key, correction, held_back, key in known_cases, run_folder / VIEWS_FOLDER))
    return samples


def _chosen(case: LabelledCase) -> dict[int, np.ndarray]:
    """The slices of a case that are used, those with the structure first: they are what the split counts by."""
    planes = case.planes()
    shown = spread_with_ends([index for index, plane in planes.items() if plane.any()], _MOST_WITH)
    without = spread_with_ends([index for index, plane in planes.items() if not plane.any()], _MOST_WITHOUT)
    return {index: planes[index] for index in (*shown, *without)}
