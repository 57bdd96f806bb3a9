"""What each command does with the core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sammix_core.errors import InputError
from sammix_core.progress import LOOKING_WHICH_WAY_UP, Progress
from SAMMixSlicerLib.worker import messages as m
from SAMMixSlicerLib.worker.child import describe

if TYPE_CHECKING:
    from sammix_core.boxes import Box
    from sammix_core.session import SegmentationSession
    from SAMMixSlicerLib.worker.child.volumes import OpenVolumes


@dataclass
class Job:
    """A command being done.

    Attributes:
        request: Its number.
        arrived_at: When it came, in seconds of `time.monotonic`.
        is_cancelled: Whether it shall stop; asked between slices.
        others_wait: Whether there is anything else to do.
        may_be_interrupted: Whether edits of single slices may be done between its slices.
        changed: Slices that it has changed.
        protected: Slices that it left alone because they were corrected by hand.
    """

    request: int
    arrived_at: float
    is_cancelled: Callable[[], bool] = lambda: False
    others_wait: Callable[[], bool] = lambda: False
    may_be_interrupted: bool = False
    changed: set[int] = field(default_factory=set)
    protected: list[int] = field(default_factory=list)


class Handlers:
    """Does commands, and tells what came of them.

    Args:
        send: Tells the module an event.
        embedding_limit_bytes: What the embeddings of all volumes may take.
    """

    def __init__(self, send: Callable[[Any], None], embedding_limit_bytes: int) -> None:
        self._send = send
        self._limit_bytes = embedding_limit_bytes
        self._volumes: OpenVolumes | None = None
        self._handlers: dict[type[m.Command], Callable[..., str | None]] = {
            m.LoadModel: self._load_model,
            m.OpenVolume: self._open_volume,
            m.CloseVolume: self._close_volume,
            m.Run: self._run,
            m.SegmentSlice: self._segment_slice,
            m.SegmentSlices: self._segment_slices,
            m.ResetSlices: self._reset_slices,
            m.Interpolate: self._interpolate,
            m.SetStates: self._set_states,
            m.PrepareSlices: self._prepare_slices,
            m.ShowCam: self._show_cam,
        }

    @property
    def volumes(self) -> OpenVolumes:
        """The open volumes.

        Raises:
            InputError: Packages are missing.
        """
        if self._volumes is None:
            missing = describe.missing()
            if missing:
                raise InputError(f"These packages are not installed: {', '.join(missing)}.")
            from SAMMixSlicerLib.worker.child.volumes import OpenVolumes

            self._volumes = OpenVolumes(self._limit_bytes)
        return self._volumes

    def do(self, command: m.Command, job: Job) -> str:
        """Does a command.

        Returns:
            A sentence for the user, mostly empty.

        Raises:
            SammixError: What the user can understand and act on.
        """
        if isinstance(command, m.Describe):
            self._send(describe.describe())
            return ""
        sentence = self._handlers[type(command)](command, job)
        self.volumes.trim()
        return sentence or _left_out(job)

    def _load_model(self, command: m.LoadModel, job: Job) -> None:
        volumes = self.volumes
        started = time.monotonic()
        from sammix_core.model_store import resolve
        from sammix_core.segmenter import Segmenter

        base_weights = None if command.base_weights is None else Path(command.base_weights)
        segmenter = Segmenter.load(command.model, command.device, base_weights=base_weights)
        volumes.use(segmenter)
        model = segmenter.model
        engine = getattr(model.backend, "engine", None)
        self._send(
            m.ModelLoaded(
                model.spec,
                resolve(command.model).manifest.target,
                model.device.type,
                "torch" if engine is None else engine.name,
                time.monotonic() - started,
            )
        )

    def _open_volume(self, command: m.OpenVolume, job: Job) -> None:
        volume = self.volumes.open(command)
        axis = volume.axial_order.slice_axis
        count, rows, cols = volume.shape_kji["kji".index(axis)], *in_plane_shape(volume.shape_kji, axis)
        self._send(m.VolumeOpened(command.volume_id, job.request, axis, count, (rows, cols), volume.notes))

    def _close_volume(self, command: m.CloseVolume, job: Job) -> None:
        self.volumes.close(command.volume_id)

    def _run(self, command: m.Run, job: Job) -> None:
        session = self.volumes.session(command.volume_id)
        before = _boxes_of(session)

        def seen(index: int, probability: float) -> None:
            self._send(m.SliceSeen(command.volume_id, job.request, index, probability))

        session.find_boxes(self._progress(command, job), job.is_cancelled, seen)
        guidance = session.guidance
        assert guidance is not None
        self._send(
            m.GuidanceFound(
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
            self._send(m.SliceChanged(command.volume_id, job.request, session.slices.state(index), {}))
        self._segment(command, job, range(session.boxes.slice_count), force=False)

    def _segment_slice(self, command: m.SegmentSlice, job: Job) -> None:
        waited = time.monotonic() - job.arrived_at
        session = self.volumes.session(command.volume_id)
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
        self._send(m.SliceChanged(command.volume_id, job.request, state, milliseconds))

    def _segment_slices(self, command: m.SegmentSlices, job: Job) -> None:
        self._segment(command, job, command.slices, command.force)

    def _reset_slices(self, command: m.ResetSlices, job: Job) -> None:
        slices = self.volumes.session(command.volume_id).slices
        self._segment(
            command,
            job,
            command.slices,
            command.force,
            lambda index: slices.put_box(index, slices.automatic_boxes.get(index)),
        )

    def _interpolate(self, command: m.Interpolate, job: Job) -> None:
        session = self.volumes.session(command.volume_id)
        between = session.boxes.copy()
        filled = between.interpolate(command.first, command.last)
        if not filled:
            raise InputError("There is nothing to fill: set the boxes of two slices that have others between them.")
        # The rule of who may replace whose box holds here too: one that was edited in the meantime stays.
        self._segment(command, job, filled, command.force, lambda index: session.boxes.set(between[index]))

    def _set_states(self, command: m.SetStates, job: Job) -> None:
        for state in self.volumes.put(command.volume_id, command.states):
            job.changed.add(state.slice_index)
            self._send(m.SliceChanged(command.volume_id, job.request, state, {}))

    def _prepare_slices(self, command: m.PrepareSlices, job: Job) -> None:
        for index in command.slices:
            if job.is_cancelled() or job.others_wait():
                return
            self.volumes.session(command.volume_id).prepare_slice(index)

    def _show_cam(self, command: m.ShowCam, job: Job) -> None:
        session = self.volumes.session(command.volume_id)
        for index in command.slices:
            cam = np.rint(session.cam_slice(index) * 255).astype(np.uint8)
            self._send(m.CamSlice(command.volume_id, job.request, index, cam))

    def _segment(
        self,
        command: m.VolumeCommand,
        job: Job,
        slices: Iterable[int],
        force: bool,
        take_box: Callable[[int], object] | None = None,
    ) -> None:
        session = self.volumes.session(command.volume_id)

        def changed(index: int) -> None:
            job.changed.add(index)
            self._send(m.SliceChanged(command.volume_id, job.request, session.slices.state(index), {}))

        progress = self._progress(command, job)
        job.protected += session.segment_slices(slices, progress, job.is_cancelled, changed, force, take_box)

    def _progress(self, command: m.VolumeCommand, job: Job) -> Callable[[Progress], None]:
        def tell(progress: Progress) -> None:
            # While the slices are being turned, a box would land on them the wrong way round.
            job.may_be_interrupted = progress.stage != LOOKING_WHICH_WAY_UP
            self._send(
                m.Progressed(
                    command.volume_id, job.request, progress.stage, progress.done, progress.total, progress.seconds_left
                )
            )

        return tell


def in_plane_shape(shape_kji: tuple[int, int, int], slice_axis: str) -> tuple[int, int]:
    """(rows, cols) of a slice of a (k, j, i) array along an axis."""
    rows, cols = (count for axis, count in zip("kji", shape_kji, strict=True) if axis != slice_axis)
    return rows, cols


def _boxes_of(session: SegmentationSession) -> dict[int, tuple[Box | None, Box | None]]:
    boxes, automatic = session.boxes, session.slices.automatic_boxes
    return {index: (boxes.get(index), automatic.get(index)) for index in boxes.keys() | automatic.keys()}


def _left_out(job: Job) -> str:
    if not job.protected:
        return ""
    if len(job.protected) == 1:
        return f"Slice {job.protected[0]} was corrected by hand and stays as it is."
    return f"{len(job.protected)} slices were corrected by hand and stay as they are."
