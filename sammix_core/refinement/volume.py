"""Refines the masks of a whole volume, slice by slice: the liver's edges, or lesions one by one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.boxes import tight_box
from sammix_core.errors import InputError
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.refinement.network import SliceRefiner
from sammix_core.refinement.slices import EmbeddedSlices, SliceRefinement

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
# Network pixels, some 33 mm in the usual frame. On lits117 what is smaller got worse; see docs/decisions.
LEAST_LESION_SIDE = 24.0


class VolumeRefinement:
    """One structure of a volume, refined stage by stage: all its slices, or the one that was clicked. Each goes back.

    Args:
        refiner: What `load_refiner` gave.
        slices: The volume's slices and their embeddings.
        mask: (k, j, i) on the CT's grid to begin from, non-zero inside. Stages without a click leave slices without
            any of it alone.

    Raises:
        InputError: The mask lies on another grid.
    """

    def __init__(self, refiner: SliceRefiner, slices: EmbeddedSlices, mask: np.ndarray) -> None:
        if mask.shape != slices.axial.shape_kji:
            raise InputError("The mask to refine and the CT have different grids.")
        self._refiner = refiner
        self._slices = slices
        self._begun = slices.axial.order.forward(mask != 0)
        self._work: dict[int, SliceRefinement] = {}
        self._stages: list[list[int]] = []

    @property
    def stages(self) -> int:
        """How many there were."""
        return len(self._stages)

    @property
    def mask(self) -> np.ndarray:
        """(k, j, i) bool on the CT's grid, after the last stage."""
        found = self._begun.copy()
        for index, work in self._work.items():
            found[index] = work.mask
        return np.ascontiguousarray(self._slices.axial.order.back(found))

    def refine(
        self,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        label: str = "Refining",
    ) -> None:
        """One more stage of every slice with a mask, with the clicks that there are.

        Args:
            progress: Told after each slice.
            cancel: Asked after each slice.
            label: Name of the stage for progress.

        Raises:
            InputError: There is no mask yet.
            Cancelled: The user stopped; nothing has changed.
        """
        filled = sorted({*np.flatnonzero(self._begun.any((1, 2))).tolist(), *self._work})
        if not filled:
            raise InputError("There is nothing to refine yet: begin with a mask or a click.")
        told = ProgressReporter(label, len(filled), progress, cancel)
        self._stages.append([])
        try:
            for index in filled:
                self._of(index).refine()
                self._stages[-1].append(index)
                told.step()
        except BaseException:
            self.undo()
            raise

    def click(self, ijk: tuple[int, int, int], inside: bool = True) -> None:
        """One more stage of one slice, with one more click.

        Args:
            ijk: Voxel of the CT.
            inside: Whether it belongs to the structure.

        Raises:
            InputError: The click is outside the CT or what the network sees of it, or outside where there is no mask.
        """
        axial = self._slices.axial
        shape = axial.shape_kji
        if not all(0 <= at < size for at, size in zip(ijk, shape[::-1], strict=True)):
            n_k, n_j, n_i = shape
            raise InputError(f"The click {ijk} lies outside the CT of {n_i} x {n_j} x {n_k} voxels.")
        place = np.zeros(shape, dtype=bool)
        place[ijk[::-1]] = True
        ((index, row, col),) = np.argwhere(axial.order.forward(place)).tolist()
        there = index in self._work
        try:
            self._of(index).click((row, col), inside)
        except InputError:
            if not there:
                self._work.pop(index, None)
            raise
        self._stages.append([index])

    def undo(self) -> None:
        """Takes the last stage back; without one nothing happens."""
        for index in self._stages.pop() if self._stages else []:
            self._work[index].undo()
            if not self._work[index].stages:
                del self._work[index]

    def _of(self, index: int) -> SliceRefinement:
        if index not in self._work:
            self._work[index] = SliceRefinement(self._refiner, self._slices, index, self._begun[index])
        return self._work[index]


def refined(
    refiner: SliceRefiner,
    slices: EmbeddedSlices,
    mask: np.ndarray,
    stages: int,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> np.ndarray:
    """Refines every slice of a mask by so many stages; (k, j, i) bool. See `VolumeRefinement`.

    Raises:
        InputError: The mask lies on another grid.
        Cancelled: The user stopped.
    """
    work = VolumeRefinement(refiner, slices, mask)
    for stage in range(stages if mask.any() else 0):
        work.refine(progress, cancel, f"Refining, stage {stage + 1} of {stages}")
    return work.mask


def refined_lesions(
    refiner: SliceRefiner,
    slices: EmbeddedSlices,
    lesions: np.ndarray,
    liver: np.ndarray | None,
    stages: int,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> np.ndarray:
    """Refines each component of a mask of lesions by itself.

    Args:
        refiner: One of lesions.
        slices: The volume's slices and their embeddings.
        lesions: (k, j, i) non-zero inside; voxels that touch by a corner belong together.
        liver: (k, j, i), non-zero inside: lesions grow no further than it reaches. None for no limit.
        stages: How many.
        progress: Told after each lesion.
        cancel: Asked after each lesion.

    Returns:
        (k, j, i) bool, all lesions together. One that would vanish, and one that is smaller than `LEAST_LESION_SIDE`
        on its largest slice, stay as they were.

    Raises:
        InputError: The mask lies on another grid.
        Cancelled: The user stopped.
    """
    components, count = ndimage.label(lesions != 0, _TOUCHING)
    told = ProgressReporter("Refining lesions", count, progress, cancel)
    found = np.zeros(lesions.shape, dtype=bool)
    for number in range(1, count + 1):
        begun = components == number
        if longer_side(slices.axial, begun) < LEAST_LESION_SIDE:
            found |= begun
        else:
            within = np.ones_like(begun) if liver is None else (liver != 0) | begun
            found |= lesion_from(refined(refiner, slices, begun, stages, cancel=cancel), begun, within)
        told.step()
    return found


def longer_side(axial: AxialSlices, mask: np.ndarray) -> float:
    """Network pixels along the longer side of the box round a mask (k, j, i), on the slice with most of it."""
    filled = axial.order.forward(mask)
    box = tight_box(filled[filled.sum((1, 2)).argmax()])
    if box is None:
        return 0.0
    x_min, y_min, x_max, y_max = axial.frame.box_to_network(box)
    return max(x_max - x_min, y_max - y_min)


def lesion_from(mask: np.ndarray, begun: np.ndarray, within: np.ndarray) -> np.ndarray:
    """What of a refined mask is the lesion: components in the liver that touch the mask that it began with.

    Args:
        mask: (k, j, i) bool.
        begun: (k, j, i) bool.
        within: (k, j, i) bool.

    Returns:
        (k, j, i) bool; `begun` where nothing is left.
    """
    components, _ = ndimage.label(mask & within, _TOUCHING)
    touched = np.unique(components[begun])
    kept = np.isin(components, touched[touched > 0])
    return kept if kept.any() else begun
