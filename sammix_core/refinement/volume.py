"""Refines the masks of a whole volume slice by slice: the edges of the liver, or lesions one by one."""

from __future__ import annotations

import numpy as np

from sammix_core.boxes import tight_box
from sammix_core.errors import InputError
from sammix_core.masks.components import components_touching, label_components
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.refinement.network import SliceRefiner
from sammix_core.refinement.protocol import NOTHING_TO_REFINE, Click, Ijk, StagedRefinement, check_voxel
from sammix_core.refinement.slices import EmbeddedSlices, SliceRefinement

# Network pixels, some 33 mm in most CTs. On lits117 smaller lesions got worse; see docs/decisions/refining-slices.md.
LEAST_LESION_SIDE = 24.0


class VolumeRefinement(StagedRefinement[Ijk, list[int]]):
    """One structure of a volume; points are voxels (i, j, k) of the CT, states the slices that a stage changed.

    A refinement without a click is a stage of every slice with a mask, a click one of its own slice.

    Args:
        refiner: As `load_refiner` returns it.
        slices: The volume's slices and their embeddings.
        mask: (k, j, i) on the CT's grid to begin from, non-zero inside. Stages without a click leave slices alone
            that have none of it.

    Raises:
        InputError: The mask lies on another grid.
    """

    def __init__(self, refiner: SliceRefiner, slices: EmbeddedSlices, mask: np.ndarray) -> None:
        super().__init__()
        if mask.shape != slices.axial.shape_kji:
            raise InputError("The mask to refine and the CT have different grids.")
        self._refiner = refiner
        self._slices = slices
        self._before = slices.axial.order.forward(mask != 0)
        self._refinements: dict[int, SliceRefinement] = {}

    @property
    def mask(self) -> np.ndarray:
        """(k, j, i) bool on the CT's grid, after the last stage."""
        mask = self._before.copy()
        for index, refinement in self._refinements.items():
            mask[index] = refinement.mask
        return np.ascontiguousarray(self._slices.axial.order.back(mask))

    def refine(
        self,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        label: str = "Refining",
    ) -> None:
        """Adds a stage of every slice with a mask, with the clicks so far.

        Args:
            progress: Called after each slice.
            cancel: Polled after each slice; return True to stop.
            label: Name of the stage for progress.

        Raises:
            InputError: There is no mask yet.
            Cancelled: The user stopped; nothing has changed.
        """
        filled = sorted({*np.flatnonzero(self._before.any((1, 2))).tolist(), *self._refinements})
        if not filled:
            raise InputError(NOTHING_TO_REFINE)
        reporter = ProgressReporter(label, len(filled), progress, cancel)
        changed: list[int] = []
        try:
            for index in filled:
                self._refinement_of(index).refine()
                changed.append(index)
                reporter.step()
        except BaseException:
            self._revert(changed)
            raise
        self._add_stage(changed)

    def click(self, point: Ijk, inside: bool = True) -> None:
        """Adds a stage of one slice, with one more click.

        Args:
            point: Voxel (i, j, k) of the CT.
            inside: Whether it belongs to the structure.

        Raises:
            InputError: The click is outside the CT or what the network sees of it, or outside where there is no mask.
        """
        axial = self._slices.axial
        check_voxel(point, axial.shape_kji)
        marked = np.zeros(axial.shape_kji, dtype=bool)
        marked[point[::-1]] = True
        ((index, row, col),) = np.argwhere(axial.order.forward(marked)).tolist()
        is_new = index not in self._refinements
        try:
            self._refinement_of(index).click((row, col), inside)
        except InputError:
            if is_new:
                self._refinements.pop(index, None)
            raise
        self._add_stage([index], Click(point, inside))

    def _revert(self, state: list[int]) -> None:
        for index in state:
            self._refinements[index].undo()
            if not self._refinements[index].stages:
                del self._refinements[index]

    def _refinement_of(self, index: int) -> SliceRefinement:
        if index not in self._refinements:
            self._refinements[index] = SliceRefinement(self._refiner, self._slices, index, self._before[index])
        return self._refinements[index]


def refine_mask(
    refiner: SliceRefiner,
    slices: EmbeddedSlices,
    mask: np.ndarray,
    stages: int,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> np.ndarray:
    """Refines every slice of a mask in several stages; (k, j, i) bool. See `VolumeRefinement`.

    Raises:
        InputError: The mask lies on another grid.
        Cancelled: The user stopped.
    """
    refinement = VolumeRefinement(refiner, slices, mask)
    for stage in range(stages if mask.any() else 0):
        refinement.refine(progress, cancel, f"Refining, stage {stage + 1} of {stages}")
    return refinement.mask


def refine_lesions(
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
        liver: (k, j, i), non-zero inside: no lesion grows beyond it. None for no limit.
        stages: Stages for each lesion.
        progress: Called after each lesion.
        cancel: Polled after each lesion; return True to stop.

    Returns:
        (k, j, i) bool, all lesions together. A lesion that would vanish, or whose box on its largest slice is shorter
        than `LEAST_LESION_SIDE`, stays as it was.

    Raises:
        InputError: The mask lies on another grid.
        Cancelled: The user stopped.
    """
    components, count = label_components(lesions, corners=True)
    reporter = ProgressReporter("Refining lesions", count, progress, cancel)
    result = np.zeros(lesions.shape, dtype=bool)
    for number in range(1, count + 1):
        lesion = components == number
        if longer_side(slices.axial, lesion) < LEAST_LESION_SIDE:
            result |= lesion
        else:
            within = np.ones_like(lesion) if liver is None else (liver != 0) | lesion
            result |= lesion_from(refine_mask(refiner, slices, lesion, stages, cancel=cancel), lesion, within)
        reporter.step()
    return result


def longer_side(axial: AxialSlices, mask: np.ndarray) -> float:
    """Network pixels along the longer side of the box round a mask (k, j, i), on the slice with most of it."""
    filled = axial.order.forward(mask)
    box = tight_box(filled[filled.sum((1, 2)).argmax()])
    if box is None:
        return 0.0
    x_min, y_min, x_max, y_max = axial.frame.box_to_network(box)
    return max(x_max - x_min, y_max - y_min)


def lesion_from(refined: np.ndarray, lesion: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Keeps what belongs to a lesion of a mask that was refined from it.

    Args:
        refined: (k, j, i) bool, the refined mask.
        lesion: (k, j, i) bool, the lesion before.
        within: (k, j, i) bool, where the lesion may lie.

    Returns:
        (k, j, i) bool: the components of the refined mask within, that touch the lesion; without one, the lesion.
    """
    kept = components_touching(refined & within, lesion, corners=True)
    return kept if kept.any() else lesion
