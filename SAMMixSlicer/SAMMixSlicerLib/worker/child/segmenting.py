"""Commands that find boxes and make masks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sammix_core.errors import InputError
from sammix_core.progress import LOOKING_WHICH_WAY_UP, Progress
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker.child.job import Job

if TYPE_CHECKING:
    from sammix_core.boxes import Box
    from sammix_core.segmentation.session import SegmentationSession

SessionOf = Callable[[str], "SegmentationSession"]


class Segmenting:
    """Segments slices of open volumes, and tells each as it is done.

    Args:
        send: Tells the module an event.
        session_of: Gives the session of a volume; raises InputError where there is none.
    """

    def __init__(self, send: Callable[[Any], None], session_of: SessionOf) -> None:
        self._send = send
        self._session_of = session_of

    def run(self, command: c.Run, job: Job) -> None:
        """Finds boxes on all slices, then segments every slice with a box."""
        session = self._session_of(command.volume_id)
        before = _boxes_of(session)

        def seen(index: int, probability: float) -> None:
            self._send(e.SliceSeen(command.volume_id, job.request, index, probability))

        session.find_boxes(self._progress(command, job), job.is_cancelled, seen)
        guidance = session.guidance
        assert guidance is not None
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

    def segment_slice(self, command: c.SegmentSlice, job: Job) -> None:
        """Segments one slice from a box."""
        waited = time.monotonic() - job.arrived_at
        session = self._session_of(command.volume_id)
        index = command.box.slice_index
        started = time.perf_counter()
        session.segment_slice(index, command.box, command.force)
        segmented = time.perf_counter()
        state = session.slices.state(index)
        packed = time.perf_counter()
        milliseconds = {
            "wait": 1000 * waited,
            "segment": 1000 * (segmented - started),
            "pack": 1000 * (packed - segmented),
        }
        job.changed.add(index)
        self._send(e.SliceChanged(command.volume_id, job.request, state, milliseconds))

    def segment_slices(self, command: c.SegmentSlices, job: Job) -> None:
        """Segments slices from the boxes that they have."""
        self._segment(command, job, command.slices, command.force)

    def reset_slices(self, command: c.ResetSlices, job: Job) -> None:
        """Takes slices back to their automatic boxes, and segments them."""
        slices = self._session_of(command.volume_id).slices
        self._segment(
            command,
            job,
            command.slices,
            command.force,
            lambda index: slices.put_box(index, slices.automatic_boxes.get(index)),
        )

    def interpolate(self, command: c.Interpolate, job: Job) -> None:
        """Fills the slices between edited boxes, and segments them."""
        session = self._session_of(command.volume_id)
        between = session.boxes.copy()
        filled = between.interpolate(command.first, command.last)
        if not filled:
            raise InputError("There is nothing to fill: set the boxes of two slices that have others between them.")
        # The rule of who may replace whose box holds here too: one that was edited in the meantime stays.
        self._segment(command, job, filled, command.force, lambda index: session.boxes.set(between[index]))

    def prepare_slices(self, command: c.PrepareSlices, job: Job) -> None:
        """Encodes slices as long as there is nothing else to do."""
        for index in command.slices:
            if job.is_cancelled() or job.others_wait():
                return
            self._session_of(command.volume_id).prepare_slice(index)

    def _segment(
        self,
        command: c.VolumeCommand,
        job: Job,
        slices: Iterable[int],
        force: bool,
        take_box: Callable[[int], object] | None = None,
    ) -> None:
        session = self._session_of(command.volume_id)

        def changed(index: int) -> None:
            job.changed.add(index)
            self._send(e.SliceChanged(command.volume_id, job.request, session.slices.state(index), {}))

        progress = self._progress(command, job)
        job.protected += session.segment_slices(slices, progress, job.is_cancelled, changed, force, take_box)

    def _progress(self, command: c.VolumeCommand, job: Job) -> Callable[[Progress], None]:
        def tell(progress: Progress) -> None:
            # While the slices are being turned, a box would land on them the wrong way round.
            job.may_be_interrupted = progress.stage != LOOKING_WHICH_WAY_UP
            self._send(
                e.Progressed(
                    command.volume_id, job.request, progress.stage, progress.done, progress.total, progress.seconds_left
                )
            )

        return tell


def _boxes_of(session: SegmentationSession) -> dict[int, tuple[Box | None, Box | None]]:
    boxes, automatic = session.boxes, session.slices.automatic_boxes
    return {index: (boxes.get(index), automatic.get(index)) for index in boxes.keys() | automatic.keys()}
