"""What each command does with the core."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sammix_core.errors import InputError
from SAMMixSlicerLib.statistics import maskStatistics
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import descriptions as d
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker import lesion_commands as lc
from SAMMixSlicerLib.worker import mask_commands as mc
from SAMMixSlicerLib.worker.child import describe, exports, lesions
from SAMMixSlicerLib.worker.child.job import Job
from SAMMixSlicerLib.worker.child.segmenting import Segmenting

if TYPE_CHECKING:
    from SAMMixSlicerLib.worker.child.corrections import Corrections
    from SAMMixSlicerLib.worker.child.volumes import OpenVolumes


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
        self._corrections: Corrections | None = None
        self._lesions = lesions.Lesions(send, lambda: self.volumes)
        segmenting = Segmenting(send, lambda volume_id: self.volumes.session(volume_id))
        self._handlers: dict[type[c.Command], Callable[..., str | None]] = {
            c.LoadModel: self._load_model,
            c.OpenVolume: self._open_volume,
            c.CloseVolume: self._close_volume,
            c.Run: segmenting.run,
            c.SegmentSlice: segmenting.segment_slice,
            c.SegmentSlices: segmenting.segment_slices,
            c.ResetSlices: segmenting.reset_slices,
            c.Interpolate: segmenting.interpolate,
            c.SetStates: self._set_states,
            c.PrepareSlices: segmenting.prepare_slices,
            c.ShowCam: self._show_cam,
            mc.Measure: self._measure,
            mc.KeepCorrections: self._keep_corrections,
            lc.FindLesions: self._lesions.find,
            lc.ClickLesion: self._lesions.click,
            lc.RefineLesion: self._lesions.refine,
            lc.MeasureLesions: self._lesions.measure,
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

    def do(self, command: c.Command, job: Job) -> str:
        """Does a command.

        Returns:
            A sentence for the user, mostly empty.

        Raises:
            SammixError: What the user can understand and act on.
        """
        # These need no packages for computing.
        if isinstance(command, c.Describe):
            self._send(describe.describe())
            return ""
        if isinstance(command, mc.WriteLabelmap):
            exports.write(command)
            return ""
        if isinstance(command, lc.WriteLesions):
            lesions.write(command)
            return ""
        if isinstance(command, mc.MakeSurface):
            self._send(exports.surface(command))
            return ""
        sentence = self._handlers[type(command)](command, job)
        self.volumes.trim()
        return sentence or job.left_out()

    def _load_model(self, command: c.LoadModel, job: Job) -> None:
        volumes = self.volumes
        started = time.monotonic()
        from sammix_core.model_store import resolve
        from sammix_core.segmentation.segmenter import Segmenter

        base_weights = None if command.base_weights is None else Path(command.base_weights)
        segmenter = Segmenter.load(command.model, command.device, base_weights=base_weights)
        volumes.use(segmenter)
        model = segmenter.model
        engine = getattr(model.backend, "engine", None)
        self._send(
            d.ModelLoaded(
                model.spec,
                resolve(command.model).manifest.target,
                model.device.type,
                "torch" if engine is None else engine.name,
                time.monotonic() - started,
            )
        )

    def _open_volume(self, command: c.OpenVolume, job: Job) -> None:
        self._lesions.forget(command.volume_id)
        volume = self.volumes.open(command)
        axis = volume.axial_order.slice_axis
        count, rows, cols = volume.shape_kji["kji".index(axis)], *in_plane_shape(volume.shape_kji, axis)
        self._send(e.VolumeOpened(command.volume_id, job.request, axis, count, (rows, cols), volume.notes))

    def _close_volume(self, command: c.CloseVolume, job: Job) -> None:
        self._lesions.forget(command.volume_id)
        self.volumes.close(command.volume_id)

    def _set_states(self, command: c.SetStates, job: Job) -> None:
        for state in self.volumes.put(command.volume_id, command.states):
            job.changed.add(state.slice_index)
            self._send(e.SliceChanged(command.volume_id, job.request, state, {}))

    def _show_cam(self, command: c.ShowCam, job: Job) -> None:
        session = self.volumes.session(command.volume_id)
        for index in command.slices:
            cam = np.rint(session.cam_slice(index) * 255).astype(np.uint8)
            self._send(e.CamSlice(command.volume_id, job.request, index, cam))

    def _measure(self, command: mc.Measure, job: Job) -> None:
        volume = self.volumes.volume(command.volume_id)
        self._send(e.Measured(job.request, maskStatistics(command.mask.unpack(), volume)))

    def _keep_corrections(self, command: mc.KeepCorrections, job: Job) -> None:
        session = self.volumes.session(command.volume_id)
        if self._corrections is None:
            from SAMMixSlicerLib.worker.child.corrections import Corrections  # imports torch

            self._corrections = Corrections()
        self._send(self._corrections.keep(command, session))


def in_plane_shape(shape_kji: tuple[int, int, int], slice_axis: str) -> tuple[int, int]:
    """(rows, cols) of a slice of a (k, j, i) array along an axis."""
    rows, cols = (count for axis, count in zip("kji", shape_kji, strict=True) if axis != slice_axis)
    return rows, cols
