"""Commands about lesions: candidates, clicks, measuring, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sammix_core.errors import InputError
from sammix_core.lesions.lesion import FIRST_LESION, LIVER
from sammix_core.lesions.state import LesionClick, LesionState, LesionStatus
from sammix_core.masks.boxed_mask import BoxedMask
from sammix_core.progress import Progress, ProgressReporter
from sammix_core.volume.volume import Volume, grid_from_ras
from SAMMixSlicerLib.planes import planeOf
from SAMMixSlicerLib.worker import lesion_commands as lc
from SAMMixSlicerLib.worker import lesion_events as le
from SAMMixSlicerLib.worker.child.job import Job
from SAMMixSlicerLib.worker.child.lesion_refiner import LesionRefiner
from SAMMixSlicerLib.worker.events import Progressed

if TYPE_CHECKING:
    from sammix_core.lesions.growing import Grower
    from SAMMixSlicerLib.worker.child.volumes import OpenVolumes


class Lesions:
    """Finds, grows and measures lesions in open volumes.

    The smoothed liver of one volume is kept, since it takes seconds; it is made anew where the liver's mask is another.

    Args:
        send: Tells the module an event.
        volumes: Gives the open volumes.
    """

    def __init__(self, send: Callable[[Any], None], volumes: Callable[[], OpenVolumes]) -> None:
        self._send = send
        self._volumes = volumes
        self._refiner = LesionRefiner()
        self._grower: Grower | None = None
        self._made_of: tuple[Any, ...] = ()

    def forget(self, volume_id: str) -> None:
        """Drops what is kept of a volume."""
        if self._made_of and self._made_of[0] == volume_id:
            self._grower, self._made_of = None, ()

    def find(self, command: lc.FindLesions, job: Job) -> None:
        """Looks for candidates."""
        from sammix_core.lesions.candidates import candidates_in
        from sammix_core.lesions.components import lesion_components
        from sammix_core.lesions.measure import lesion_masks, measure_lesion

        volume, tell = self._volumes().volume(command.volume_id), self._teller(command, job)
        density = self._grower_of(command.volume_id, job, tell).density
        mask = candidates_in(density, tell, job.is_cancelled)
        masks = lesion_masks(lesion_components(volume, mask))
        stage = ProgressReporter("Measuring lesions", len(masks), tell, job.is_cancelled)
        found = []
        for number, one in masks.items():
            if not any(one.meets(kept) for kept in command.kept):
                found.append((one, measure_lesion(volume, one, number)))
            stage.step()
        self._send(le.LesionsFound(command.volume_id, job.request, tuple(found)))

    def click(self, command: lc.ClickLesion, job: Job) -> None:
        """Begins a lesion, adds to one or takes from it."""
        from sammix_core.lesions.measure import measure_lesion

        volume = self._volumes().volume(command.volume_id)
        grower = self._grower_of(command.volume_id, job, self._teller(command, job))
        grower.density.check(command.ijk, command.inside)
        state = self._meant(command, grower)
        clicks = (*state.clicks, LesionClick(command.ijk, command.inside))
        places = {kind: [click.ijk for click in clicks if click.inside is kind] for kind in (True, False)}
        mask = grower.grow(places[True], places[False], state.start)
        packed = _own(
            mask,
            state.number,
            command.lesions,
            "Nothing grows from there." if command.inside else "Nothing would be left of it; reject it instead.",
        )
        figures = measure_lesion(volume, packed, state.number)
        grown = replace(state, status=LesionStatus.ACCEPTED, mask=packed, clicks=clicks, figures=figures)
        self._send(le.LesionGrown(command.volume_id, job.request, grown))

    def refine(self, command: lc.RefineLesion, job: Job) -> None:
        """Refines one lesion by a stage; its clicks begin anew from there."""
        from sammix_core.lesions.measure import measure_lesion

        session = self._volumes().session(command.volume_id)
        state = next(one for one in command.lesions if one.number == command.number)
        shape = session.volume.shape_kji
        mask, liver = state.mask.on(shape), self._liver(command.volume_id)
        mask = self._refiner.refined(session, mask, liver, self._teller(command, job), job.is_cancelled)
        packed = _own(mask, state.number, command.lesions, "Nothing would be left of it, so it stays as it is.")
        figures = measure_lesion(session.volume, packed, state.number)
        found = replace(state, mask=packed, start=packed, clicks=(), figures=figures)
        self._send(le.LesionGrown(command.volume_id, job.request, found))

    def measure(self, command: lc.MeasureLesions, job: Job) -> None:
        """Measures lesions as they are given."""
        from sammix_core.lesions.measure import measure_lesion

        volume = self._volumes().volume(command.volume_id)
        figures = {number: measure_lesion(volume, mask, number) for number, mask in command.lesions.items()}
        self._send(le.LesionsMeasured(command.volume_id, job.request, figures, dict(command.lesions)))

    def _meant(self, command: lc.ClickLesion, grower: Grower) -> LesionState:
        """The lesion that a click is for; a new one has the number 0."""
        if command.target:
            return next(state for state in command.lesions if state.number == command.target)
        grown = grower.grow([command.ijk])
        if not grown.any():
            raise InputError("Nothing grows from there.")
        new = LesionState(0, LesionStatus.ACCEPTED, BoxedMask.pack(grown))
        nearest = max(command.lesions, key=lambda state: new.mask.meets(state.mask), default=new)
        return nearest if new.mask.meets(nearest.mask) else new

    def _grower_of(self, volume_id: str, job: Job, tell: Callable[[Progress], None]) -> Grower:
        from sammix_core.lesions.density import LiverDensity
        from sammix_core.lesions.growing import Grower

        volumes = self._volumes()
        volume, states = volumes.volume(volume_id), volumes.states(volume_id)
        planes = {state.slice_index: state.mask for state in states if state.mask is not None}
        made_of = (volume_id, tuple((index, mask.bits) for index, mask in sorted(planes.items())))
        if self._grower is None or made_of != self._made_of:
            stage = ProgressReporter("Smoothing the liver", 1, tell, job.is_cancelled)
            self._grower, self._made_of = None, ()  # two of them at once may be too much for a small machine
            self._grower, self._made_of = Grower(LiverDensity(volume, self._liver(volume_id))), made_of
            stage.step()
        return self._grower

    def _liver(self, volume_id: str) -> np.ndarray:
        """(k, j, i) uint8, the liver as it is by now."""
        volume = self._volumes().volume(volume_id)
        liver = np.zeros(volume.shape_kji, dtype=np.uint8)
        for state in self._volumes().states(volume_id):
            if state.mask is not None:
                planeOf(liver, volume.axial_order.slice_axis, state.slice_index)[...] = state.mask.unpack()
        return liver

    def _teller(
        self, command: lc.FindLesions | lc.ClickLesion | lc.RefineLesion, job: Job
    ) -> Callable[[Progress], None]:
        def tell(now: Progress) -> None:
            self._send(
                Progressed(command.volume_id, job.request, now.stage, now.done, now.total, now.seconds_left, "steps")
            )

        return tell


def _own(mask: np.ndarray, number: int, lesions: tuple[LesionState, ...], otherwise: str) -> BoxedMask:
    """What of a mask no other lesion has, in place.

    Raises:
        InputError: Nothing is left; `otherwise` says so.
    """
    for other in lesions:
        if other.number != number:
            mask[other.mask.box] &= ~other.mask.unpack()
    if not mask.any():
        raise InputError(otherwise)
    return BoxedMask.pack(mask)


def write(command: lc.WriteLesions) -> None:
    """Writes liver and lesions as one labelmap, whole or not at all.

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
