"""Events that the computing process sends to the module: plain frozen data, pickled between the two.

Slices, boxes and planes are as in `SAMMixSlicerLib.worker.commands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sammix_core.boxes import Box, SliceAxis
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.mask_statistics import MaskStatistics


@dataclass(frozen=True)
class Event:
    """Something that has happened in the computing process; `Worker.on` gives the signal of each kind."""


@dataclass(frozen=True)
class VolumeEvent(Event):
    """An event about one volume.

    Attributes:
        volume_id: The module's own name of the volume.
        request: Number of the command that caused it.
    """

    volume_id: str
    request: int


@dataclass(frozen=True)
class VolumeOpened(VolumeEvent):
    """A volume is open; sent again after the process was restarted.

    Attributes:
        slice_axis: The axis along which the volume's axial slices are stacked.
        slice_count: Number of slices.
        plane_shape: (rows, cols) of a slice.
        notes: Plain sentences on anything unusual about the volume.
    """

    slice_axis: SliceAxis
    slice_count: int
    plane_shape: tuple[int, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progressed(VolumeEvent):
    """Progress of a command.

    Attributes:
        stage: For display: "Looking for the liver", "Segmenting".
        done, total: Slices, or steps, of this stage.
        seconds_left: Estimate for this stage; None before there is one.
        unit: What is counted: "slices" or "steps".
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None
    unit: str = "slices"


@dataclass(frozen=True)
class SliceScored(VolumeEvent):
    """The guidance network has processed a slice.

    Attributes:
        slice_index: Index of the slice.
        probability: Probability that the slice shows the structure, in [0, 1].
    """

    slice_index: int
    probability: float


@dataclass(frozen=True)
class GuidanceFound(VolumeEvent):
    """The guidance network has processed all slices.

    Attributes:
        guidance: What a new process needs to continue as this one would, from `SavedGuidance.to_bytes`.
        probabilities: By slice index, smoothed as they were used.
        automatic_boxes: By slice index, sorted by part.
        notes: Plain sentences, such as that the volume lay upside down.
    """

    guidance: bytes
    probabilities: dict[int, float]
    automatic_boxes: dict[int, tuple[Box, ...]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SliceChanged(VolumeEvent):
    """A slice has a new box or mask; `Worker.volume` has the change by the time this is emitted.

    Attributes:
        state: The slice as it is now.
        milliseconds: Timings inside the process for an edit of a single slice: "wait" (in the queue), "segment", "pack"
            (for sending); empty otherwise.
    """

    state: SliceState
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class CamReady(VolumeEvent):
    """The class activation map of a slice.

    Attributes:
        slice_index: Index of the slice.
        cam: (rows, cols) uint8, 0 to 255 for a probability from 0 to 1; all 0 before the guidance network has run.
    """

    slice_index: int
    cam: np.ndarray


@dataclass(frozen=True)
class MaskMeasured(Event):
    """Answer to `MeasureMask`.

    Attributes:
        request: Number of the command.
        statistics: Measurements of the mask.
    """

    request: int
    statistics: MaskStatistics


@dataclass(frozen=True)
class SurfaceMade(Event):
    """Answer to `MakeSurface`.

    Attributes:
        request: Number of the command.
        points: (n, 3) float32, RAS mm of the mask's grid.
        normals: (n, 3) float32, unit vectors that point out of the mask.
        triangles: (m, 3) int32, indices of points.
    """

    request: int
    points: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True)
class CorrectionsSaved(Event):
    """Answer to `SaveCorrections`: the correction set is up to date.

    Attributes:
        request: Number of the command.
        case: The volume's key in the set; it contains nothing about the patient.
    """

    request: int
    case: str


@dataclass(frozen=True)
class CancelAcknowledged(Event):
    """The process has received a cancel; the command stops after its current slice.

    Attributes:
        request: Number of the command that stops.
    """

    request: int


class Outcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    LOST = "lost"  # the process died or was stopped while it had the command


@dataclass(frozen=True)
class Finished(Event):
    """A command has ended; sent exactly once for each command.

    Attributes:
        request: Number of the command.
        command: The command's class name, "Run".
        volume_id: Its volume, or None.
        outcome: How it ended. What was done until then stays in every case.
        sentence: For the user: what went wrong or was left out; empty when there is nothing to say.
        detail: For the log: a traceback, or the last output of the process; empty when all is well.
        seconds: Duration.
        changed: Slices that it changed, sorted.
        protected: Slices that it left alone because they were corrected by hand.
    """

    request: int
    command: str
    volume_id: str | None
    outcome: Outcome
    sentence: str = ""
    detail: str = ""
    seconds: float = 0.0
    changed: tuple[int, ...] = ()
    protected: tuple[int, ...] = ()
