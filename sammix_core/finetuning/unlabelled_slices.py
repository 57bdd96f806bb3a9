"""The slices that a run learns from of CTs without masks: some of each CT, evenly spread."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from sammix_core.datasets.cases import LabelledCase
from sammix_core.datasets.correction import Source, case_key, corrections_of_volume
from sammix_core.datasets.sampling import spread, spread_with_ends
from sammix_core.errors import InputError
from sammix_core.finetuning.samples import Sample
from sammix_core.finetuning.settings import FineTuneSettings
from sammix_core.finetuning.unlabelled_ct import OpenedCt, UnlabelledCt, read_cts, stored_cts
from sammix_core.model_store.store import user_folder
from sammix_core.preprocessing.spec import PreprocessingSpec

# Most slices of each CT; those that may show the structure are encoded twice, the others once.
MOST_PRESENT, MOST_ABSENT, MOST_UNKNOWN = 24, 8, 32
_ABSENT_FOR_SHARE = 2  # of each CT, in the choice of how far to go
_KEPT_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, eq=False)
class UnlabelledCase:
    """The slices of one CT; none of them has a mask.

    Attributes:
        key: The CT's, see `case_key`.
        present: Slices that show the structure.
        unknown: Slices that may show it; nobody has said.
        absent: Slices that are free of it, whose masks are therefore empty.
    """

    key: str
    present: tuple[Sample, ...]
    unknown: tuple[Sample, ...]
    absent: tuple[Sample, ...]

    @property
    def without_mask(self) -> tuple[Sample, ...]:
        """The slices whose masks are not known."""
        return (*self.present, *self.unknown)


def unlabelled_views_folder() -> Path:
    """Where the embeddings of these slices are kept for 30 days, for later runs; the folder may be absent."""
    return user_folder() / "finetuning" / "views"


def collect_unlabelled(
    settings: FineTuneSettings, target: str, labelled: Collection[str], spec: PreprocessingSpec, stored: Path
) -> list[UnlabelledCase]:
    """Reads the CTs without masks that a run learns from.

    Args:
        settings: Of the run; they name files and folders.
        target: The structure.
        labelled: Keys of the cases with masks.
        spec: The parent's preprocessing.
        stored: Folder of the CTs that a host has given to the run.

    Raises:
        InputError: See `read_cts`, `stored_cts` and `choose_slices`.
    """
    named = [UnlabelledCt.parse(text) for text in settings.unlabelled]
    cts = chain(read_cts(named, target, settings.values_are_hu), stored_cts(stored, target))
    views = unlabelled_views_folder()
    forget_old_views(views)
    return choose_slices(cts, labelled, spec, views)


def choose_slices(
    cts: Iterable[OpenedCt], labelled: Collection[str], spec: PreprocessingSpec, views: Path
) -> list[UnlabelledCase]:
    """Takes some slices of each CT.

    Args:
        cts: The CTs; one at a time is in memory.
        labelled: Keys of the cases with masks.
        spec: The parent's preprocessing.
        views: Folder of the slices' embeddings.

    Raises:
        InputError: A CT is among the labelled cases, or is given twice.
    """
    cases: list[UnlabelledCase] = []
    names: dict[str, str] = {}
    for ct in cts:
        key = case_key(ct.volume)
        if key in labelled:
            raise InputError(
                f"The CT {ct.name} is among the labelled cases, whose slices are learnt from or held back already; "
                "leave it out of those without labels."
            )
        if key in names:
            same = ct.name == names[key]
            twice = f"The CT {ct.name} is given twice" if same else f"{names[key]} and {ct.name} are the same CT"
            raise InputError(f"{twice}; leave one out.")
        names[key] = ct.name
        cases.append(_case(ct, key, spec, views))
    return cases


def absent_for_share(cases: Iterable[UnlabelledCase], samples: list[Sample]) -> list[Sample]:
    """Slices free of the structure for the choice of how far to go.

    Each is counted as a slice of a labelled case, whose Dice falls with whatever is found on it.

    Args:
        cases: The CTs without masks.
        samples: The labelled slices that take part in that choice.
    """
    labelled = sorted({sample.case for sample in samples})
    absent = [sample for case in cases for sample in _spread_samples(case.absent, _ABSENT_FOR_SHARE)]
    return [replace(sample, case=labelled[number % len(labelled)]) for number, sample in enumerate(absent)]


def notes_on(cases: Sequence[UnlabelledCase]) -> list[str]:
    """A sentence for the result and the model card; none without such CTs."""
    if not cases:
        return []
    count = sum(len(case.without_mask) + len(case.absent) for case in cases)
    of = "1 CT" if len(cases) == 1 else f"{len(cases)} CTs"
    return [f"{count} slices of {of} without labels were learnt from as well."]


def forget_old_views(folder: Path) -> None:
    """Deletes embeddings that are more than 30 days old; what is needed again is computed again."""
    oldest = time.time() - _KEPT_SECONDS
    for path in folder.glob("*.npy"):
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _case(ct: OpenedCt, key: str, spec: PreprocessingSpec, views: Path) -> UnlabelledCase:
    count = len(ct.volume.axial_order.forward(ct.volume.array))
    unknown = sorted({*range(count)} - {*ct.present, *ct.absent})
    chosen = (
        spread_with_ends(ct.present, MOST_PRESENT),
        spread(unknown, MOST_UNKNOWN),
        spread_with_ends(ct.absent, MOST_ABSENT),
    )
    planes = LabelledCase(key, ct.volume, {}, tuple(sorted(index for kind in chosen for index in kind))).planes()
    corrections = corrections_of_volume(ct.volume, None, planes, source=Source.LABEL, spec=spec)
    of_slice = {one.slice_index: Sample(key, one, held_back=False, earlier=False, views=views) for one in corrections}
    present, others, absent = (tuple(of_slice[index] for index in kind) for kind in chosen)
    return UnlabelledCase(key, present, others, absent)


def _spread_samples(samples: tuple[Sample, ...], count: int) -> list[Sample]:
    return [samples[index] for index in spread(range(len(samples)), count)]
