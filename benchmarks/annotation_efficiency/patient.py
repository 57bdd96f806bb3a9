"""The one patient that is trained on: which of its slices have masks, and which are held back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sammix_core.errors import InputError
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.progress import ProgressCallback
from sammix_core.sam.backend import SamBackend
from sammix_core.training.semi_supervised.bank import Bank, prepare_bank, prepare_images
from sammix_core.training.semi_supervised.config import PoolCase
from sammix_core.training.semi_supervised.pool import Pool, load_pool, spread
from sammix_core.training.semi_supervised.split import BY_SLICE, Split
from sammix_core.volume_io import read_volume

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
            progress: Told after each slice.

        Raises:
            InputError: A file is unusable, or no slice is without the structure.
        """
        spec = PreprocessingSpec()
        name = ct.name.split(".")[0].removesuffix("_ct")
        pool = load_pool(PoolCase(name, ct, label, values), spec)
        if not pool.absent:
            raise InputError("The training patient has no slice without the structure; take a CT that reaches past it.")
        volume = read_volume(ct)
        pool = thinned(pool, volume.axial_order.spacing(volume.spacing)[0])
        return cls(
            prepare_bank(pool, views, work / "views", spec, backend, progress, None),
            prepare_images(pool, IMAGE_VIEWS, work / "views", spec, progress, None),
        )

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
        pool = self.bank.pool
        if count > len(pool.masks):
            raise InputError(f"The training patient has {len(pool.masks)} slices with a mask, not {count}.")
        rng = np.random.default_rng([seed, count])
        chosen = spread(sorted(pool.masks), count, float(rng.random()) * 0.999)
        fewer: Pool = replace(
            pool,
            masks={index: pool.masks[index] for index in chosen},
            present=tuple(sorted(pool.masks.keys() - set(chosen))),
        )
        held: list[int] = []
        trained: list[int] = []
        for slices in (chosen, list(pool.absent)):
            own = spread(slices, max(1, round(HELD_BACK * len(slices))), float(rng.random()) * 0.999)
            held += own
            trained += [index for index in slices if index not in own]
        split = Split(BY_SLICE, {pool.name: tuple(sorted(held))}, {pool.name: tuple(sorted(trained))})
        return replace(self.images if images else self.bank, pool=fewer), split


def thinned(pool: Pool, slice_mm: float) -> Pool:
    """Leaves out slices with the structure that lie closer than about 3 mm: neighbours so near are nearly the same."""
    step = max(1, round(LEAST_MM / slice_mm))
    kept = sorted([*sorted(pool.masks)[::step], *pool.absent])
    return replace(
        pool,
        axial=np.ascontiguousarray(pool.axial[kept]),
        masks={place: pool.masks[index] for place, index in enumerate(kept) if index in pool.masks},
        absent=tuple(place for place, index in enumerate(kept) if index in pool.absent),
    )
