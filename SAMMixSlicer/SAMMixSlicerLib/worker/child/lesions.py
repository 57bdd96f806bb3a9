"""Handlers of the commands about lesions: candidates, clicks, measurements, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.errors import InputError
from sammix_core.lesions.lesion import FIRST_LESION, LIVER
from sammix_core.lesions.state import LesionClick, LesionState, LesionStatus
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.progress import Progress, ProgressReporter
from sammix_core.volume.volume import Volume, grid_from_ras
from SAMMixSlicerLib.array_slices import sliceOf
from SAMMixSlicerLib.worker import lesion_commands as lc
from SAMMixSlicerLib.worker import lesion_events as le
from SAMMixSlicerLib.worker.child.job import Job, handles
from SAMMixSlicerLib.worker.child.lesion_refiner import LesionRefiner
from SAMMixSlicerLib.worker.events import Event, Progressed

if TYPE_CHECKING:
    from sammix_core.lesions.growing import Grower
    from SAMMixSlicerLib.worker.child.volumes import OpenVolumes

_NOTHING_GROWS = "There is nothing to grow from this voxel."


class LesionHandlers:
    """Finds, grows and measures lesions in open volumes.

    Smoothing the liver takes seconds, so that the result is kept for one volume until the liver's mask changes.

    Args:
        send: Sends an event to the module.
        volumes: Returns the open volumes.
    """

    def __init__(self, send: Callable[[Event], None], volumes: Callable[[], OpenVolumes]) -> None:
        self._send = send
        self._volumes = volumes
        self._refiner = LesionRefiner()
        self._grower: Grower | None = None
        self._grower_key: tuple[object, ...] = ()

    def forget(self, volume_id: str) -> None:
        """Drops what is kept for a volume."""
        if self._grower_key and self._grower_key[0] == volume_id:
            self._grower, self._grower_key = None, ()

    @handles(lc.FindLesions)
    def find(self, command: lc.FindLesions, job: Job) -> None:
        """Finds lesion candidates."""
        from sammix_core.lesions.candidates import candidates_in
        from sammix_core.lesions.components import lesion_components
        from sammix_core.lesions.measure import lesion_masks, measure_lesion

        volume, progress = self._volumes().volume(command.volume_id), self._progress(command, job)
        density = self._grower_of(command.volume_id, job, progress).density
        mask = candidates_in(density, progress, job.is_cancelled)
        masks = lesion_masks(lesion_components(volume, mask))
        stage = ProgressReporter("Measuring lesions", len(masks), progress, job.is_cancelled)
        candidates = []
        for number, candidate in masks.items():
            if not any(candidate.meets(kept) for kept in command.kept):
                candidates.append((candidate, measure_lesion(volume, candidate, number)))
            stage.step()
        self._send(le.LesionsFound(command.volume_id, job.request, tuple(candidates)))

    @handles(lc.ClickLesion)
    def click(self, command: lc.ClickLesion, job: Job) -> None:
        """Starts a lesion, extends one, or removes voxels from it."""
        from sammix_core.lesions.measure import measure_lesion

        volume = self._volumes().volume(command.volume_id)
        grower = self._grower_of(command.volume_id, job, self._progress(command, job))
        grower.density.check(command.ijk, command.inside)
        state = self._clicked_lesion(command, grower)
        clicks = (*state.clicks, LesionClick(command.ijk, command.inside))
        inside = [click.ijk for click in clicks if click.inside]
        outside = [click.ijk for click in clicks if not click.inside]
        mask = grower.grow(inside, outside, state.start)
        packed = _without_others(
            mask,
            state.number,
            command.lesions,
            _NOTHING_GROWS if command.inside else "Nothing of the lesion would be left; reject it instead.",
        )
        figures = measure_lesion(volume, packed, state.number)
        grown = replace(state, status=LesionStatus.ACCEPTED, mask=packed, clicks=clicks, figures=figures)
        self._send(le.LesionUpdated(command.volume_id, job.request, grown))

    @handles(lc.RefineLesion)
    def refine(self, command: lc.RefineLesion, job: Job) -> None:
        """Refines one lesion by a stage and clears its clicks."""
        from sammix_core.lesions.measure import measure_lesion

        session = self._volumes().session(command.volume_id)
        state = next(lesion for lesion in command.lesions if lesion.number == command.number)
        shape = session.volume.shape_kji
        mask, liver = state.mask.on(shape), self._liver(command.volume_id)
        mask = self._refiner.refine(session, mask, liver, self._progress(command, job), job.is_cancelled)
        packed = _without_others(
            mask, state.number, command.lesions, "Nothing of the lesion would be left, so it stays as it is."
        )
        figures = measure_lesion(session.volume, packed, state.number)
        refined = replace(state, mask=packed, start=packed, clicks=(), figures=figures)
        self._send(le.LesionUpdated(command.volume_id, job.request, refined))

    @handles(lc.MeasureLesions)
    def measure(self, command: lc.MeasureLesions, job: Job) -> None:
        """Measures lesions."""
        from sammix_core.lesions.measure import measure_lesion

        volume = self._volumes().volume(command.volume_id)
        figures = {number: measure_lesion(volume, mask, number) for number, mask in command.lesions.items()}
        self._send(le.LesionsMeasured(command.volume_id, job.request, figures, dict(command.lesions)))

    def _clicked_lesion(self, command: lc.ClickLesion, grower: Grower) -> LesionState:
        """The lesion that a click applies to; a new one has the number 0."""
        if command.target:
            return next(state for state in command.lesions if state.number == command.target)
        grown = grower.grow([command.ijk])
        if not grown.any():
            raise InputError(_NOTHING_GROWS)
        new = LesionState(0, LesionStatus.ACCEPTED, BoxedMask.pack(grown))
        nearest = max(command.lesions, key=lambda state: new.mask.meets(state.mask), default=new)
        return nearest if new.mask.meets(nearest.mask) else new

    def _grower_of(self, volume_id: str, job: Job, progress: Callable[[Progress], None]) -> Grower:
        from sammix_core.lesions.density import LiverDensity
        from sammix_core.lesions.growing import Grower

        volumes = self._volumes()
        volume, states = volumes.volume(volume_id), volumes.states(volume_id)
        planes = {state.slice_index: state.mask for state in states if state.mask is not None}
        key = (volume_id, tuple((index, mask.bits) for index, mask in sorted(planes.items())))
        if self._grower is None or key != self._grower_key:
            stage = ProgressReporter("Smoothing the liver", 1, progress, job.is_cancelled)
            self._grower, self._grower_key = None, ()  # two at once may need too much memory
            self._grower, self._grower_key = Grower(LiverDensity(volume, self._liver(volume_id))), key
            stage.step()
        return self._grower

    def _liver(self, volume_id: str) -> np.ndarray:
        """(k, j, i) uint8, the current liver mask."""
        volume = self._volumes().volume(volume_id)
        liver = np.zeros(volume.shape_kji, dtype=np.uint8)
        for state in self._volumes().states(volume_id):
            if state.mask is not None:
                sliceOf(liver, volume.axial_order.slice_axis, state.slice_index)[...] = state.mask.unpack()
        return liver

    def _progress(
        self, command: lc.FindLesions | lc.ClickLesion | lc.RefineLesion, job: Job
    ) -> Callable[[Progress], None]:
        def send(progress: Progress) -> None:
            self._send(
                Progressed(
                    command.volume_id,
                    job.request,
                    progress.stage,
                    progress.done,
                    progress.total,
                    progress.seconds_left,
                    unit="steps",
                )
            )

        return send


def _without_others(mask: np.ndarray, number: int, lesions: tuple[LesionState, ...], refusal: str) -> BoxedMask:
    """Removes the voxels of other lesions from a mask, in place, and packs it.

    Raises:
        InputError: Nothing is left; its text is `refusal`.
    """
    for other in lesions:
        if other.number != number:
            mask[other.mask.box] &= ~other.mask.unpack()
    if not mask.any():
        raise InputError(refusal)
    return BoxedMask.pack(mask)


def write_lesion_labelmap(command: lc.WriteLesions) -> None:
    """Writes liver and lesions to one labelmap file, completely or not at all.

    Raises:
        InputError: The format is unknown or the file cannot be written.
    """
    from sammix_core.lesions.files import write_lesions

    labelmap = np.where(command.liver.unpack() != 0, np.uint8(LIVER), np.uint8(0))
    for number, mask in command.lesions.items():
        labelmap[mask.box][mask.unpack()] = number + FIRST_LESION - 1
    voxels = np.broadcast_to(np.int16(0), command.liver.shape_kji)
    grid = Volume(voxels, *grid_from_ras(command.liver.ijk_to_ras), spacing_known=command.spacing_known)
    write_lesions(labelmap, grid, command.path)
