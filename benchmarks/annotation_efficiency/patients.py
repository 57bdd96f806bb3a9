"""The protocol `patients`: a few masks of one or three patients, and of all others which slices show the structure.

The cases are those of a configuration of `sammix train`, and so are the plain views: what that training has encoded is
opened, not encoded again. Its augmented views take no part, since they are drawn with the mask (contrast of the
structure, close crops), which says more than an image-level label. Pairs of weak and strong views are drawn without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.datasets.sampling import spread
from sammix_core.errors import InputError
from sammix_core.preprocessing.frame import Frame
from sammix_core.progress import ProgressCallback
from sammix_core.sam.backend import SamBackend
from sammix_core.training.case_views import prepare_views
from sammix_core.training.config import TrainingConfig
from sammix_core.training.semi_supervised.bank import Bank, BankMaker
from sammix_core.training.semi_supervised.split import BY_SLICE, Split
from sammix_core.training.view_encoder import ViewEncoder
from sammix_core.training.views import View

from . import patient as one_patient
from .cases import TestCase
from .cells import Cell
from .patient import HELD_BACK, with_masks_of

# Who may be labelled: a volume with as many masks as one patient gives at most, and ends without the structure.
LEAST_MASKS, LEAST_WITHOUT = 20, 2
TESTED_OUT_OF_FOLD = 3
_LABELLED = 3  # at most, in a draw
_SALT = 19  # so that who is labelled has nothing to do with the seed's other draws


@dataclass(frozen=True)
class Roles:
    """Who is what in a draw.

    Attributes:
        labelled: The volumes that have masks, of a patient each.
        tested: The patients that neither masks nor image-level labels are taken of.
    """

    labelled: tuple[str, ...]
    tested: frozenset[str]


def roles_of(cases: Sequence[LabelledCase], draw: int, patients: int, out_of_fold: bool) -> Roles:
    """Draws who is labelled, and out of fold who is tested.

    The one patient of a draw is the first of its three, so that more patients differ by nothing else. Draws go through
    all patients in one shuffled order, so that nobody is labelled twice as long as there are others.

    Args:
        cases: All cases, with all labels.
        draw: The draw.
        patients: How many are labelled.
        out_of_fold: Whether some of the training patients are tested on, none of whom the training may know.

    Raises:
        InputError: There are too few patients with enough slices of either kind.
    """
    volumes: dict[str, list[str]] = {}
    for case in cases:
        if len(case.masks) >= LEAST_MASKS and len(case.absent) >= LEAST_WITHOUT:
            volumes.setdefault(case.patient, []).append(case.name)
    needed = patients + (TESTED_OUT_OF_FOLD if out_of_fold else 0)
    if len(volumes) < needed:
        raise InputError(
            f"{needed} patients are needed with {LEAST_MASKS} masks and {LEAST_WITHOUT} slices without the structure "
            f"in one volume; there are {len(volumes)}."
        )
    order = [str(name) for name in np.random.default_rng(_SALT).permutation(sorted(volumes))]
    first = draw * _LABELLED % len(order)
    order = order[first:] + order[:first]
    rng = np.random.default_rng([draw, _SALT])
    chosen = {name: volumes[name][int(rng.integers(len(volumes[name])))] for name in order}
    tested = order[-TESTED_OUT_OF_FOLD:] if out_of_fold else []
    return Roles(tuple(chosen[name] for name in order[:patients]), frozenset(tested))


def masks_of_each(count: int, patients: int) -> list[int]:
    """How many masks each patient gives.

    >>> masks_of_each(50, 3)
    [17, 17, 16]
    """
    return [count // patients + (number < count % patients) for number in range(patients)]


@dataclass(frozen=True)
class Material:
    """What a cell is trained on.

    Attributes:
        cases: With the masks that are used and image-level labels for all other slices.
        split: What is held back for early stopping.
    """

    cases: list[LabelledCase]
    split: Split


def material_of(cases: Sequence[LabelledCase], cell: Cell, roles: Roles, with_others: bool) -> Material:
    """Leaves the cases what a cell may know of them.

    Args:
        cases: All cases, with all labels.
        cell: How many masks.
        roles: Who has them, and who is left out.
        with_others: Whether patients without masks take part.

    Raises:
        InputError: A volume has fewer masks than it is to give.
    """
    rng = np.random.default_rng([cell.draw, cell.labelled_slices or 0, cell.patients_labelled])
    by_name = {case.name: case for case in cases if case.patient not in roles.tested}
    chosen = {name: sorted(case.masks) for name, case in by_name.items()}
    if cell.labelled_slices is not None:
        given = dict(zip(roles.labelled, masks_of_each(cell.labelled_slices, len(roles.labelled)), strict=True))
        for name, count in given.items():
            if count > len(chosen[name]):
                raise InputError(f"{name} has {len(chosen[name])} slices with a mask, not {count}.")
        chosen = {
            name: spread(chosen[name], given[name], float(rng.random()) * 0.999) if name in given else []
            for name in sorted(chosen)
        }
    patients = {by_name[name].patient for name, slices in chosen.items() if slices}
    kept = [
        with_masks_of(case, chosen[name]) for name, case in by_name.items() if with_others or case.patient in patients
    ]
    return Material(kept, _split(kept, rng))


def _split(cases: Sequence[LabelledCase], rng: np.random.Generator) -> Split:
    """Holds back a fifth of the masks, evenly over all of them, and a fifth of their volumes' slices without."""
    labelled = [case for case in cases if case.masks]
    masks = [(case.name, index) for case in labelled for index in sorted(case.masks)]
    places = spread(range(len(masks)), max(1, round(HELD_BACK * len(masks))), float(rng.random()) * 0.999)
    held: dict[str, list[int]] = {case.name: [] for case in labelled}
    for name, index in (masks[place] for place in places):
        held[name].append(index)
    for case in labelled:
        count = max(1, round(HELD_BACK * len(case.absent)))
        held[case.name] += spread(case.absent, count, float(rng.random()) * 0.999) if len(case.absent) > 1 else []
    known = {case.name: {*case.masks, *case.absent} for case in labelled}
    trained = {name: tuple(sorted(known[name] - set(held[name]))) for name in held}
    return Split(BY_SLICE, {name: tuple(sorted(slices)) for name, slices in held.items()}, trained)


class Patients:
    """The training patients and their views, each made when it is first asked for.

    Args:
        config: The configuration whose cases they are.
        work: Folder for pairs of views.
        encoder: Makes the backend that encodes: what `config.encoder` says.
        progress: Called after each slice.
    """

    def __init__(
        self, config: TrainingConfig, work: Path, encoder: Callable[[], SamBackend], progress: ProgressCallback | None
    ) -> None:
        self.config = config
        self._work = work
        self._encoder = encoder
        self._progress = progress
        self._banks: dict[int, dict[str, Bank]] = {}

    @cached_property
    def cases(self) -> list[LabelledCase]:
        """All cases, with all labels."""
        return [load_case(case) for case in self.config.cases]

    @cached_property
    def plain(self) -> dict[str, View]:
        """The plain views of each case, as the configuration's own training has encoded them."""
        plain = self.config.model_copy(update={"views": ()})
        identity = ViewEncoder(self.config.encoder).identity
        return {view.case: view for view in prepare_views(plain, self._encoder(), self._progress, None, identity)}

    def banks(self, material: Material, views: int) -> list[Bank]:
        """The encoded views of a cell's cases, in pairs."""
        return self._with_labels(material, views, encoded=True)

    def images(self, material: Material) -> list[Bank]:
        """More views without embeddings, for networks that look at images."""
        return self._with_labels(material, one_patient.IMAGE_VIEWS, encoded=False)

    def encoded(self, name: str, views: int) -> Bank:
        """The encoded views of a case."""
        return self._bank(name, views, encoded=True)

    def test_case(self, name: str) -> TestCase:
        """A training case as one to test on."""
        one: CaseConfig = next(case for case in self.config.cases if case.name == name)
        if one.labels is None:
            raise InputError(f"The training case {name} has no labels to be tested with.")
        return TestCase(name, one.ct, one.labels, one.values, "ours" if one.labels.suffix == ".json" else "model")

    def _with_labels(self, material: Material, views: int, encoded: bool) -> list[Bank]:
        return [replace(self._bank(case.name, views, encoded), case=case) for case in material.cases]

    def _bank(self, name: str, views: int, encoded: bool) -> Bank:
        of_kind = self._banks.setdefault(views if encoded else -views, {})
        if name not in of_kind:
            case = next(case for case in self.cases if case.name == name)
            view = self.plain[name]
            encoder = self._encoder() if encoded else None
            identity = ViewEncoder(self.config.encoder).identity
            maker = BankMaker(self._work / "views", self.config.preprocessing, encoder, identity, self._progress)
            spec = self.config.preprocessing
            frame = Frame.for_crop(
                case.crops(spec)[1], case.spacing[1:], spec.size
            )  # as `draw_slice` draws a plain view
            slices = [int(index) for index in view.slices]
            of_kind[name] = maker.make(case, views, slices, (frame, view.embeddings))
        return of_kind[name]
