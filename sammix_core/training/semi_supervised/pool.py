"""What is known of every slice: its mask, whether it shows the structure, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sammix_core.datasets.cases import Case, CaseConfig, load_case, unlabelled_case
from sammix_core.errors import InputError
from sammix_core.preprocessing.body_crop import volume_frame
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.training.semi_supervised.config import PoolCase
from sammix_core.volume_io import read_volume


@dataclass(frozen=True)
class Pool:
    """A case for semi-supervised training, in canonical axial order.

    Attributes:
        name: Name of the patient.
        axial: (slices, rows, cols) HU.
        frame: Where the network's image lies, the one that a session uses.
        masks: Slice -> (rows, cols) bool: the slices whose mask is used, all with the structure.
        absent: Slices known to be without the structure, so that their masks are known to be empty.
        present: Slices known to show it, without a mask.
    """

    name: str
    axial: np.ndarray
    frame: Frame
    masks: dict[int, np.ndarray]
    absent: tuple[int, ...]
    present: tuple[int, ...]

    @cached_property
    def unknown(self) -> tuple[int, ...]:
        """Slices of which nothing is known."""
        known = {*self.masks, *self.absent, *self.present}
        return tuple(index for index in range(len(self.axial)) if index not in known)


def spread(slices: list[int], count: int, offset: float = 0.5) -> list[int]:
    """Takes slices evenly from a list.

    Args:
        slices: Sorted.
        count: How many; all where there are fewer.
        offset: Where in each of `count` equal parts, from 0 to below 1.

    >>> spread([10, 11, 12, 13, 14, 15], 3)
    [11, 13, 15]
    """
    if count >= len(slices):
        return slices
    return [slices[int((place + offset) * len(slices) / count)] for place in range(count)]


def load_pool(config: PoolCase, spec: PreprocessingSpec) -> Pool:
    """Reads a case and sorts its slices.

    Raises:
        InputError: A file is unusable, grids differ, or a slice is not there, has no mask, or is said to be both with
            and without the structure.
    """
    volume = read_volume(config.ct)
    order, shape = volume.axial_order, volume.array.shape
    case = unlabelled_case(config.name, volume, spec)
    if config.labels is not None:
        case = load_case(CaseConfig(config.name, config.ct, config.labels, config.values), spec)

    def canonical(key: str, indices: tuple[int, ...]) -> set[int]:
        outside = [index for index in indices if index >= len(case.axial)]
        if outside:
            raise InputError(
                f"The training case {config.name} has {len(case.axial)} slices, so {key} cannot name {outside[0]}."
            )
        return {order.canonical_slice(index, shape) for index in indices}

    masks = _chosen(config, case, canonical)
    present, absent = canonical("present", config.present), canonical("absent", config.absent)
    if config.image_level:
        present |= case.masks.keys()
        absent |= set(case.without)
    present -= masks.keys()
    both = sorted(absent & (present | masks.keys()))
    if both:
        index = order.slice_index(both[0], shape)
        raise InputError(f"The training case {config.name} says of slice {index} that it is with and without.")
    axial_frame = volume_frame(case.axial, case.spacing[1:], spec, volume.spacing_known)
    return Pool(config.name, case.axial, axial_frame, masks, tuple(sorted(absent)), tuple(sorted(present)))


def _chosen(config: PoolCase, case: Case, canonical: object) -> dict[int, np.ndarray]:
    """The masks that are used."""
    if isinstance(config.labelled, tuple):
        assert callable(canonical)
        wanted = sorted(canonical("labelled", config.labelled))
        empty = [index for index in wanted if index not in case.masks]
        if empty:
            raise InputError(
                f"The training case {config.name} has labelled slices without a mask, such as the one that is number "
                f"{empty[0]} from below; name slices that show the structure."
            )
    else:
        wanted = sorted(case.masks)
        if config.labelled is not None:
            wanted = spread(wanted, config.labelled)
    if config.labels is not None and not wanted and config.labelled is not None:
        raise InputError(
            f"The masks of the training case {config.name} are empty; choose other values or leave it out."
        )
    return {index: case.masks[index] for index in wanted}
