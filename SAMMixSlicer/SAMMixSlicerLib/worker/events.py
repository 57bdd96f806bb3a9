"""What the computing process tells the module: plain frozen data, pickled between the two.

Slices, boxes and planes are as in `SAMMixSlicerLib.worker.commands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sammix_core.boxes import Box, SliceAxis
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.statistics import MaskStatistics
from SAMMixSlicerLib.worker.descriptions import Description, Hello, ModelLoaded


@dataclass(frozen=True)
class VolumeEvent:
    """Something about one volume.

    Attributes:
        volume_id: The module's own name of the volume.
        request: The command that it comes from.
    """

    volume_id: str
    request: int


@dataclass(frozen=True)
class VolumeOpened(VolumeEvent):
    """A session is open.

    Attributes:
        slice_axis: The volume's axis along which its axial slices are stacked.
        slice_count: How many there are.
        plane_shape: (rows, cols) of such a slice.
        notes: Plain sentences on what was odd about the volume.
    """

    slice_axis: SliceAxis
    slice_count: int
    plane_shape: tuple[int, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progressed(VolumeEvent):
    """How far a command is.

    Attributes:
        stage: For people: "Looking for the liver", "Segmenting".
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
class SliceSeen(VolumeEvent):
    """The guidance has looked at a slice.

    Attributes:
        slice_index: Which.
        probability: That it shows the structure, in [0, 1].
    """

    slice_index: int
    probability: float


@dataclass(frozen=True)
class GuidanceFound(VolumeEvent):
    """The guidance has looked at all slices.

    Attributes:
        guidance: What a new process needs to go on as this one would, as `SavedGuidance.to_bytes` makes it.
        probabilities: By slice index, smoothed as they were used.
        automatic_boxes: By slice index.
        notes: Plain sentences, such as that the volume lay the other way up.
    """

    guidance: bytes
    probabilities: dict[int, float]
    automatic_boxes: dict[int, Box]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SliceChanged(VolumeEvent):
    """A slice has another box or mask than before.

    Attributes:
        state: The slice as it is now.
        milliseconds: What took how long in the process, for an edit of a single slice: "wait" (in its queue),
            "segment", "pack" (for the way here); otherwise empty.
    """

    state: SliceState
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class CamSlice(VolumeEvent):
    """The class activation map of a slice.

    Attributes:
        slice_index: Which.
        cam: (rows, cols) uint8, 0 to 255 for a probability from 0 to 1; all 0 before the guidance looked.
    """

    slice_index: int
    cam: np.ndarray


@dataclass(frozen=True)
class Measured:
    """What was asked for with `Measure`.

    Attributes:
        request: Of the command.
        statistics: Of the mask.
    """

    request: int
    statistics: MaskStatistics


@dataclass(frozen=True)
class SurfaceMade:
    """What was asked for with `MakeSurface`.

    Attributes:
        request: Of the command.
        points: (n, 3) float32, RAS mm of the mask's grid.
        normals: (n, 3) float32, unit vectors that point out of the mask.
        triangles: (m, 3) int32, numbers of points.
    """

    request: int
    points: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True)
class CorrectionsKept:
    """A correction set has changed, as `KeepCorrections` asked.

    Attributes:
        request: Of the command.
        case: The volume's key in the set, which says nothing of the patient.
    """

    request: int
    case: str


@dataclass(frozen=True)
class CancelTaken:
    """The process has heard the cancel; it stops after the slice that it is at.

    Attributes:
        request: Of the command that stops.
    """

    request: int


class Outcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    LOST = "lost"  # the process died or was stopped with it


@dataclass(frozen=True)
class Finished:
    """A command has ended; each has exactly one.

    Attributes:
        request: Of the command.
        command: The command's class name, "Run".
        volume_id: Its volume; None where it has none.
        outcome: How it ended. What was done until then stays, whatever it is.
        sentence: For people, what went wrong or was left out; empty when there is nothing to say.
        detail: For the log: a traceback, or the process's last words; empty when all is well.
        seconds: How long it took.
        changed: Slices that it changed, in order.
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


Event = (
    Hello
    | Description
    | ModelLoaded
    | VolumeOpened
    | Progressed
    | SliceSeen
    | GuidanceFound
    | SliceChanged
    | CamSlice
    | Measured
    | SurfaceMade
    | CorrectionsKept
    | CancelTaken
    | Finished
    | VolumeEvent
)
