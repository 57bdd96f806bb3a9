"""Calls the handler of each command; the handlers call the core."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.errors import InputError
from SAMMixSlicerLib.mask_statistics import maskStatistics
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker import lesion_commands as lc
from SAMMixSlicerLib.worker import mask_commands as mc
from SAMMixSlicerLib.worker.child import capabilities, exports, lesions
from SAMMixSlicerLib.worker.child.job import Job, handlers_of, handles
from SAMMixSlicerLib.worker.child.segmenting import SegmentationHandlers
from SAMMixSlicerLib.worker.descriptions import ModelLoaded

if TYPE_CHECKING:
    from SAMMixSlicerLib.worker.child.corrections import CorrectionWriter
    from SAMMixSlicerLib.worker.child.volumes import OpenVolumes


class Dispatcher:
    """Finds the handler of a command and calls it.

    Args:
        send: Sends an event to the module.
        embedding_limit_bytes: Limit for the embeddings of all volumes.
    """

    def __init__(self, send: Callable[[e.Event], None], embedding_limit_bytes: int) -> None:
        self._send = send
        self._limit_bytes = embedding_limit_bytes
        self._volumes: OpenVolumes | None = None
        self._correction_writer: CorrectionWriter | None = None
        self._lesions = lesions.LesionHandlers(send, lambda: self.volumes)
        segmentation = SegmentationHandlers(send, lambda volume_id: self.volumes.session(volume_id))
        self.handlers = handlers_of(self) | handlers_of(segmentation) | handlers_of(self._lesions)

    @property
    def volumes(self) -> OpenVolumes:
        """The open volumes.

        Raises:
            InputError: Packages are missing.
        """
        if self._volumes is None:
            missing = capabilities.missing_packages()
            if missing:
                raise InputError(f"These packages are not installed: {', '.join(missing)}.")
            from SAMMixSlicerLib.worker.child.volumes import OpenVolumes

            self._volumes = OpenVolumes(self._limit_bytes)
        return self._volumes

    def dispatch(self, command: c.Command, job: Job) -> str:
        """Handles a command.

        Returns:
            A sentence for the user, usually empty.

        Raises:
            SammixError: Something that the user can understand and act on.
        """
        self.handlers[type(command)](command, job)
        if self._volumes is not None:
            self._volumes.trim()
        return job.protected_sentence()

    @handles(c.Describe)
    def _describe(self, command: c.Describe, job: Job) -> None:
        self._send(capabilities.describe())

    @handles(c.LoadModel)
    def _load_model(self, command: c.LoadModel, job: Job) -> None:
        volumes = self.volumes
        started = time.monotonic()
        from sammix_core.model_store import resolve
        from sammix_core.segmentation.segmenter import Segmenter

        base_weights = None if command.base_weights is None else Path(command.base_weights)
        segmenter = Segmenter.load(command.model, command.device, base_weights=base_weights)
        volumes.use(segmenter)
        model = segmenter.model
        self._send(
            ModelLoaded(
                spec=model.spec,
                target=resolve(command.model).manifest.target,
                device=model.device.type,
                engine=model.backend.engine_name,
                seconds=time.monotonic() - started,
            )
        )

    @handles(c.OpenVolume)
    def _open_volume(self, command: c.OpenVolume, job: Job) -> None:
        self._lesions.forget(command.volume_id)
        volume = self.volumes.open(command)
        axis = volume.axial_order.slice_axis
        count, plane_shape = volume.shape_kji["kji".index(axis)], in_plane_shape(volume.shape_kji, axis)
        self._send(e.VolumeOpened(command.volume_id, job.request, axis, count, plane_shape, volume.notes))

    @handles(c.CloseVolume)
    def _close_volume(self, command: c.CloseVolume, job: Job) -> None:
        self._lesions.forget(command.volume_id)
        self.volumes.close(command.volume_id)

    @handles(c.SetStates)
    def _set_states(self, command: c.SetStates, job: Job) -> None:
        for state in self.volumes.put(command.volume_id, command.states):
            job.changed.add(state.slice_index)
            self._send(e.SliceChanged(command.volume_id, job.request, state, {}))

    @handles(c.FetchCam)
    def _fetch_cam(self, command: c.FetchCam, job: Job) -> None:
        session = self.volumes.session(command.volume_id)
        for index in command.slices:
            cam = np.rint(session.cam_slice(index) * 255).astype(np.uint8)
            self._send(e.CamReady(command.volume_id, job.request, index, cam))

    @handles(mc.MeasureMask)
    def _measure_mask(self, command: mc.MeasureMask, job: Job) -> None:
        volume = self.volumes.volume(command.volume_id)
        self._send(e.MaskMeasured(job.request, maskStatistics(command.mask.unpack(), volume)))

    @handles(mc.SaveCorrections)
    def _save_corrections(self, command: mc.SaveCorrections, job: Job) -> None:
        session = self.volumes.session(command.volume_id)
        if self._correction_writer is None:
            from SAMMixSlicerLib.worker.child.corrections import CorrectionWriter  # imports torch

            self._correction_writer = CorrectionWriter()
        self._send(self._correction_writer.save(command, session))

    @handles(mc.WriteLabelmap)
    def _write_labelmap(self, command: mc.WriteLabelmap, job: Job) -> None:
        exports.export_labelmap(command)

    @handles(mc.WriteDicomSeg)
    def _write_dicom_seg(self, command: mc.WriteDicomSeg, job: Job) -> None:
        exports.export_dicom_seg(command)

    @handles(mc.MakeSurface)
    def _make_surface(self, command: mc.MakeSurface, job: Job) -> None:
        self._send(exports.make_surface(command))

    @handles(lc.WriteLesions)
    def _write_lesions(self, command: lc.WriteLesions, job: Job) -> None:
        lesions.write_lesion_labelmap(command)


def in_plane_shape(shape_kji: tuple[int, int, int], slice_axis: str) -> tuple[int, int]:
    """(rows, cols) of a slice of a (k, j, i) array along an axis."""
    rows, cols = (count for axis, count in zip("kji", shape_kji, strict=True) if axis != slice_axis)
    return rows, cols
