"""Refines the masks of a whole volume, slice by slice: the liver's edges, or lesions one by one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.progress import CancelCheck, ProgressCallback, Stage
from sammix_core.refining.network import SliceRefiner
from sammix_core.refining.slices import EmbeddedSlices, SliceRefinement

_TOUCHING = np.ones((3, 3, 3), dtype=bool)


def refined_by_stage(
    refiner: SliceRefiner,
    slices: EmbeddedSlices,
    mask: np.ndarray,
    stages: int,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
    label: str = "Refining",
) -> list[np.ndarray]:
    """Refines every slice of a mask.

    Args:
        refiner: What `load_refiner` gave.
        slices: The volume's slices and their embeddings.
        mask: (k, j, i) on the CT's grid, non-zero inside. A slice without any stays so.
        stages: How many.
        progress: Told after each slice.
        cancel: Asked after each slice.
        label: Name of the stage for progress.

    Returns:
        (k, j, i) bool after each stage, the mask itself first: `stages` + 1 of them.

    Raises:
        Cancelled: The user stopped.
    """
    order = slices.axial.order
    begun = order.forward(mask != 0)
    found = [begun.copy() for _ in range(stages + 1)]
    filled = np.flatnonzero(begun.any((1, 2)))
    told = Stage(label, len(filled), progress, cancel)
    for index in filled:
        work = SliceRefinement(refiner, slices, int(index), begun[index])
        for stage in range(1, stages + 1):
            work.refine()
            found[stage][index] = work.mask
        told.step()
    return [np.ascontiguousarray(order.back(one)) for one in found]


def refined_lesions(
    refiner: SliceRefiner,
    slices: EmbeddedSlices,
    lesions: np.ndarray,
    within: np.ndarray,
    stages: int,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> np.ndarray:
    """Refines each component of a mask of lesions by itself.

    Args:
        refiner: One of lesions.
        slices: The volume's slices and their embeddings.
        lesions: (k, j, i) non-zero inside; voxels that touch by a corner belong together.
        within: (k, j, i) bool: where lesions may be.
        stages: How many.
        progress: Told after each slice of a lesion.
        cancel: Asked after each slice of a lesion.

    Returns:
        (k, j, i) bool, all lesions together. A lesion that would vanish stays as it was.

    Raises:
        Cancelled: The user stopped.
    """
    components, count = ndimage.label(lesions != 0, _TOUCHING)
    found = np.zeros(lesions.shape, dtype=bool)
    for number in range(1, count + 1):
        begun = components == number
        label = f"Refining lesion {number} of {count}"
        *_, last = refined_by_stage(refiner, slices, begun, stages, progress, cancel, label)
        found |= lesion_from(last, begun, within)
    return found


def lesion_from(refined: np.ndarray, begun: np.ndarray, within: np.ndarray) -> np.ndarray:
    """What of a refined mask is the lesion: components in the liver that touch the mask that it began with.

    Args:
        refined: (k, j, i) bool.
        begun: (k, j, i) bool.
        within: (k, j, i) bool.

    Returns:
        (k, j, i) bool; `begun` where nothing is left.
    """
    components, _ = ndimage.label(refined & within, _TOUCHING)
    touched = np.unique(components[begun])
    kept = np.isin(components, touched[touched > 0])
    return kept if kept.any() else begun
