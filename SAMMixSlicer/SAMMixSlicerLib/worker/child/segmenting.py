"""Handlers of the commands that find boxes and make masks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sammix_core.boxes import BoxSource
from sammix_core.errors import InputError
from sammix_core.progress import DETECTING_ORIENTATION, Progress
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker.child.job import Job, handles

if TYPE_CHECKING:
    from sammix_core.boxes import Box
    from sammix_core.segmentation.session import SegmentationSession

SessionOf = Callable[[str], "SegmentationSession"]


class SegmentationHandlers:
    """Segments slices of open volumes, and sends each as soon as it is done.

    Args:
        send: Sends an event to the module.
        session_of: Returns the session of a volume; raises InputError if there is none.
    """

    def __init__(self, send: Callable[[e.Event], None], session_of: SessionOf) -> None:
        self._send = send
        self._session_of = session_of

    @handles(c.Run)
    def run(self, command: c.Run, job: Job) -> None:
        """Finds boxes on all slices, then segments every slice with a box."""
        session = self._session_of(command.volume_id)
        before = _boxes_of(session)

        def scored(index: int, probability: float) -> None:
            self._send(e.SliceScored(command.volume_id, job.request, index, probability))

        session.find_boxes(self._progress(command, job), job.is_cancelled, scored)
        guidance = session.guidance
        if guidance is None:
            raise RuntimeError("find_boxes left no guidance")
        self._send(
            e.GuidanceFound(
                command.volume_id,
                job.request,
                guidance.to_bytes(),
                guidance.probabilities(session.volume.shape_kji),
                dict(session.slices.automatic_boxes),
                guidance.notes,
            )
        )
        after = _boxes_of(session)
        for index in sorted(index for index in before.keys() | after.keys() if before.get(index) != after.get(index)):
            self._send(e.SliceChanged(command.volume_id, job.request, session.slices.state(index), {}))
        self._segment(command, job, range(session.boxes.slice_count), force=False)

    @handles(c.SegmentSlice)
    def segment_slice(self, command: c.SegmentSlice, job: Job) -> None:
        """Segments one slice with a box that replaces the one of its part."""
        session, index = self._session_of(command.volume_id), command.box.slice_index
        others = [box for box in session.boxes.on(index) if box.part != command.box.part]
        self._edit(command, job, index, lambda: session.segment_slice(index, [*others, command.box], command.force))

    @handles(c.AddClick)
    def add_click(self, command: c.AddClick, job: Job) -> None:
        """Segments one slice with a click more."""
        session, click = self._session_of(command.volume_id), command.click
        self._edit(
            command,
            job,
            click.slice_index,
            lambda: session.add_click(click.slice_index, click.i, click.j, click.positive),
        )

    @handles(c.DeleteClick)
    def delete_click(self, command: c.DeleteClick, job: Job) -> None:
        """Segments one slice with a click less."""
        session, click = self._session_of(command.volume_id), command.click
        self._edit(command, job, click.slice_index, lambda: session.remove_click(click.slice_index, click.i, click.j))

    @handles(c.Carry)
    def carry(self, command: c.Carry, job: Job) -> None:
        """Carries the correction of a slice to its neighbours."""
        session, changed = self._session_of(command.volume_id), self._on_changed(command, job)
        # Nothing else is done meanwhile: where it is cancelled, every slice becomes what it was.
        progress = self._progress(command, job, may_be_interrupted=False)
        carried = session.carry(command.slice_index, progress, job.is_cancelled, changed)
        job.changed = set(carried)  # without those that were on the way alone

    @handles(c.DeleteBox)
    def delete_box(self, command: c.DeleteBox, job: Job) -> None:
        """Deletes a box of a slice, and segments the slice from the others."""
        boxes, index = self._session_of(command.volume_id).boxes, command.slice_index
        self._segment(command, job, [index], command.force, lambda index: boxes.delete(index, command.part))

    @handles(c.SegmentSlices)
    def segment_slices(self, command: c.SegmentSlices, job: Job) -> None:
        """Segments slices from their current boxes."""
        self._segment(command, job, command.slices, command.force)

    @handles(c.ResetSlices)
    def reset_slices(self, command: c.ResetSlices, job: Job) -> None:
        """Restores the automatic boxes of slices, and segments them."""
        reset = self._session_of(command.volume_id).slices.reset_boxes
        self._segment(command, job, command.slices, command.force, reset)

    @handles(c.InterpolateBoxes)
    def interpolate_boxes(self, command: c.InterpolateBoxes, job: Job) -> None:
        """Fills the slices between edited boxes, and segments them."""
        session = self._session_of(command.volume_id)
        interpolated = session.boxes.copy()
        filled = interpolated.interpolate(command.first, command.last)
        if not filled:
            raise InputError("There is nothing to fill. Edit the boxes of two slices with other slices between them.")

        def set_boxes(index: int) -> None:
            # The track decides which box may replace which: a box that was edited in the meantime stays.
            session.boxes.update(box for box in interpolated[index] if box.source is BoxSource.INTERPOLATED)

        self._segment(command, job, filled, command.force, set_boxes)

    @handles(c.EncodeSlices)
    def encode_slices(self, command: c.EncodeSlices, job: Job) -> None:
        """Encodes slices while no other command waits, and loads what clicks on them need."""
        for index in command.slices:
            if job.is_cancelled() or job.others_wait():
                return
            session = self._session_of(command.volume_id)
            session.prepare_slice(index)
            session.clicked.prepare()

    def _segment(
        self,
        command: c.VolumeCommand,
        job: Job,
        slices: Iterable[int],
        force: bool,
        set_box: Callable[[int], object] | None = None,
    ) -> None:
        progress, changed = self._progress(command, job), self._on_changed(command, job)
        session = self._session_of(command.volume_id)
        job.protected += session.segment_slices(slices, progress, job.is_cancelled, changed, force, set_box)

    def _edit(self, command: c.VolumeCommand, job: Job, index: int, segment: Callable[[], object]) -> None:
        """Changes one slice by an edit of a person, and says how long each part of that took."""
        waited = time.monotonic() - job.received_at
        started = time.perf_counter()
        segment()
        segmented = time.perf_counter()
        state = self._session_of(command.volume_id).slices.state(index)
        packed = time.perf_counter()
        milliseconds = {
            "wait": 1000 * waited,
            "segment": 1000 * (segmented - started),
            "pack": 1000 * (packed - segmented),
        }
        job.changed.add(index)
        self._send(e.SliceChanged(command.volume_id, job.request, state, milliseconds))

    def _on_changed(self, command: c.VolumeCommand, job: Job) -> Callable[[int], None]:
        slices = self._session_of(command.volume_id).slices

        def changed(index: int) -> None:
            job.changed.add(index)
            self._send(e.SliceChanged(command.volume_id, job.request, slices.state(index), {}))

        return changed

    def _progress(
        self, command: c.VolumeCommand, job: Job, may_be_interrupted: bool = True
    ) -> Callable[[Progress], None]:
        def send(progress: Progress) -> None:
            # While the orientation is being determined, a box could land on the slices upside down.
            job.may_be_interrupted = may_be_interrupted and progress.stage != DETECTING_ORIENTATION
            self._send(
                e.Progressed(
                    command.volume_id, job.request, progress.stage, progress.done, progress.total, progress.seconds_left
                )
            )

        return send


def _boxes_of(session: SegmentationSession) -> dict[int, tuple[tuple[Box, ...], tuple[Box, ...]]]:
    boxes, automatic = session.boxes, session.slices.automatic_boxes
    return {index: (boxes.on(index), automatic.get(index, ())) for index in boxes.keys() | automatic.keys()}
