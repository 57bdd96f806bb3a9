"""What a run learns from and what it is checked on, out of correction sets and folders of cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sammix_core.datasets.case_folder import LabelledVolume, read_cases
from sammix_core.datasets.correction import Correction, Source, case_key, corrections_of_volume
from sammix_core.datasets.correction_set import VIEWS_FOLDER, CorrectionSet, is_correction_set
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
class Gathered:
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


def gather(
    settings: FineTuneSettings,
    target: str,
    known_cases: Collection[str],
    spec: PreprocessingSpec,
    run_folder: Path,
    on_case: Callable[[], None] = lambda: None,
) -> Gathered:
    """Reads everything that a run learns from.

    Args:
        settings: What is asked.
        target: What the masks must show.
        known_cases: Keys of the cases that the parent has learnt from.
        spec: The parent's preprocessing.
        run_folder: Where views of slices go that are in no correction set.
        on_case: Called after each source; may raise to stop.

    Raises:
        InputError: A source cannot be used, shows another structure, or there is not enough to learn from and check on.
    """
    samples: dict[tuple[str, int], Sample] = {}
    notes: list[str] = []
    for source in settings.sources:
        found = (
            _of_set(source, target, known_cases, notes)
            if is_correction_set(source)
            else _of_folder(source, settings, target, known_cases, spec, run_folder)
        )
        for sample in found:
            samples.setdefault((sample.case, sample.correction.slice_index), sample)
        on_case()
    check_enough(list(samples.values()))
    return Gathered(tuple(samples.values()), tuple(notes))


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


def even(indices: Sequence[int], most: int) -> list[int]:
    """At most `most` of some indices, evenly spread.

    >>> even(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(indices) <= most:
        return list(indices)
    places = np.unique(np.linspace(0, len(indices) - 1, most).round().astype(int))
    return [indices[place] for place in places]


def _of_set(source: Path, target: str, known_cases: Collection[str], notes: list[str]) -> list[Sample]:
    corrections = CorrectionSet.open(source)
    if corrections.target != target:
        raise InputError(f"The corrections in {source} show {corrections.target}, not {target}.")
    notes += corrections.leftovers
    found = []
    for entry in corrections.entries():
        try:
            correction = corrections.load(entry.id)
        except InputError as error:
            notes.append(str(error))
            continue
        views = corrections.folder / VIEWS_FOLDER
        found.append(Sample(entry.case, correction, entry.held_back, entry.case in known_cases, views))
    return found


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
    found = []
    for case in read_cases(source, settings.label, settings.sparse):
        key = case_key(case.volume)
        planes = _chosen(case)
        made = corrections_of_volume(case.volume, None, planes, source=Source.LABEL, spec=spec)
        for correction in made:
            held_back = split.side(key, correction.slice_index, bool(correction.mask.any()))
            found.append(Sample(key, correction, held_back, key in known_cases, run_folder / VIEWS_FOLDER))
    return found


def _chosen(case: LabelledVolume) -> dict[int, np.ndarray]:
    """The slices of a case that are used, those with the structure first: they are what the split counts by."""
    planes = case.planes()
    shown = even([index for index, plane in planes.items() if plane.any()], _MOST_WITH)
    without = even([index for index, plane in planes.items() if not plane.any()], _MOST_WITHOUT)
    return {index: planes[index] for index in (*shown, *without)}
