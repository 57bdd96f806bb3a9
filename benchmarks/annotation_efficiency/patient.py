"""The one patient that is trained on: which of its slices have masks, and which are held back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sammix_core.datasets.cases import CaseConfig, LabelledCase
from sammix_core.datasets.sampling import spread
from sammix_core.errors import InputError
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.progress import ProgressCallback
from sammix_core.sam.backend import SamBackend
from sammix_core.training.semi_supervised.bank import Bank, BankMaker
from sammix_core.training.semi_supervised.cases import load_partly_labelled_case
from sammix_core.training.semi_supervised.split import BY_SLICE, Split
from sammix_core.volume.volume import Volume

HELD_BACK = 0.2
LEAST_MM = 3.0
IMAGE_VIEWS = 6


@dataclass(frozen=True)
class Patient:
    """The patient with all masks, and its views.

    Attributes:
        bank: Views of every slice, with their embeddings, for SAM-Mix.
        images: More views without embeddings, for networks that look at images: those cost no encoding.
    """

    bank: Bank
    images: Bank

    @classmethod
    def prepare(
        cls,
        ct: Path,
        label: Path,
        values: tuple[int, ...],
        work: Path,
        views: int,
        backend: SamBackend,
        progress: ProgressCallback | None = None,
    ) -> Patient:
        """Reads the patient and encodes what is not encoded yet.

        Args:
            ct: The CT.
            label: Its labelmap or label file.
            values: Values of the labelmap that are the structure.
            work: Folder that views are kept in.
            views: Pairs a slice.
            backend: Encodes.
            progress: Called after each slice.

        Raises:
            InputError: A file is unusable, or no slice is without the structure.
        """
        spec = PreprocessingSpec()
        name = ct.name.split(".")[0].removesuffix("_ct")
        case = load_partly_labelled_case(CaseConfig(name, ct, label, values))
        if not case.absent:
            raise InputError("The training patient has no slice without the structure; take a CT that reaches past it.")
        case = thinned(case)
        encoding = BankMaker(work / "views", spec, backend, progress=progress)
        drawing = BankMaker(work / "views", spec, None, progress=progress)
        return cls(encoding.make(case, views), drawing.make(case, IMAGE_VIEWS))

    def with_masks(self, count: int, seed: int, images: bool = False) -> tuple[Bank, Split]:
        """Leaves the patient `count` masks, all others as image-level labels, and holds a part of them back.

        All methods get the same: the masks, spread evenly over the organ from a place that the seed says, and for every
        slice whether it shows the organ.

        Args:
            count: Slices with a mask.
            seed: Decides where the spread begins, and which are held back.
            images: Whether views without embeddings are wanted.

        Raises:
            InputError: There are fewer masks.
        """
        case = self.bank.case
        if count > len(case.masks):
            raise InputError(f"The training patient has {len(case.masks)} slices with a mask, not {count}.")
        rng = np.random.default_rng([seed, count])
        chosen = spread(sorted(case.masks), count, float(rng.random()) * 0.999)
        fewer = with_masks_of(case, chosen)
        held: list[int] = []
        trained: list[int] = []
        for slices in (chosen, list(case.absent)):
            own = spread(slices, max(1, round(HELD_BACK * len(slices))), float(rng.random()) * 0.999)
            held += own
            trained += [index for index in slices if index not in own]
        split = Split(BY_SLICE, {case.name: tuple(sorted(held))}, {case.name: tuple(sorted(trained))})
        return replace(self.images if images else self.bank, case=fewer), split


def with_masks_of(case: LabelledCase, slices: Iterable[int]) -> LabelledCase:
    """A case with the masks of some slices; of the others it is known that they show the structure."""
    chosen = set(slices)
    shown = {*case.present, *case.masks} - chosen
    masks = {index: mask for index, mask in case.masks.items() if index in chosen}
    return replace(case, masks=masks, present=tuple(sorted(shown)))


def thinned(case: LabelledCase) -> LabelledCase:
    """Leaves out slices with the structure that lie closer than about 3 mm: neighbours so near are nearly the same."""
    slice_mm, row_mm, col_mm = case.spacing
    step = max(1, round(LEAST_MM / slice_mm))
    kept = sorted([*sorted(case.masks)[::step], *case.absent])
    array = np.ascontiguousarray(case.axial[kept])
    volume = case.volume
    return LabelledCase(
        case.name,
        Volume(array, (col_mm, row_mm, slice_mm), volume.origin, np.eye(3), volume.spacing_known),
        {number: case.masks[index] for number, index in enumerate(kept) if index in case.masks},
        tuple(number for number, index in enumerate(kept) if index in case.absent),
    )
