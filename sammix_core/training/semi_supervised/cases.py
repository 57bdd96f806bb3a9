"""What a semi-supervised training uses of a case: its masks, image-level labels, and unlabelled slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.datasets.sampling import spread
from sammix_core.errors import InputError


def load_partly_labelled_case(config: CaseConfig) -> LabelledCase:
    """Reads a case and keeps the labels that its configuration names.

    Raises:
        InputError: A file is unusable, grids differ, or a slice is not there, has no mask, or is said to be both with
            and without the structure.
    """
    case = load_case(config)
    masks = _chosen_masks(config, case)
    present, absent = _canonical(case, "present", config.present), _canonical(case, "absent", config.absent)
    if config.image_level:
        present |= case.masks.keys() | set(case.present)
        absent |= set(case.absent)
    present -= masks.keys()
    contradictory = sorted(absent & (present | masks.keys()))
    if contradictory:
        index = case.order.slice_index(contradictory[0], case.volume.shape_kji)
        raise InputError(f"The training case {config.name} says of slice {index} that it is with and without.")
    return replace(case, masks=masks, absent=tuple(sorted(absent)), present=tuple(sorted(present)))


def _canonical(case: LabelledCase, key: str, indices: tuple[int, ...]) -> set[int]:
    outside = [index for index in indices if index >= len(case.axial)]
    if outside:
        raise InputError(
            f"The training case {case.name} has {len(case.axial)} slices, so {key} cannot name {outside[0]}."
        )
    return {case.order.canonical_slice(index, case.volume.shape_kji) for index in indices}


def _chosen_masks(config: CaseConfig, case: LabelledCase) -> dict[int, np.ndarray]:
    """The masks that are used."""
    if isinstance(config.labelled, tuple):
        chosen = sorted(_canonical(case, "labelled", config.labelled))
        empty = [index for index in chosen if index not in case.masks]
        if empty:
            raise InputError(
                f"The training case {config.name} has labelled slices without a mask, such as the one that is number "
                f"{empty[0]} from below; name slices that show the structure."
            )
    else:
        chosen = sorted(case.masks)
        if config.labelled is not None:
            chosen = spread(chosen, config.labelled)
    if config.labels is not None and not chosen and config.labelled is not None:
        raise InputError(
            f"The masks of the training case {config.name} are empty; choose other values or leave it out."
        )
    return {index: case.masks[index] for index in chosen}
