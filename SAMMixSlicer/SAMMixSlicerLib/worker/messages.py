"""What the module and the computing process say to each other: plain frozen data, pickled between the two.

Slices are named by their index along the user's slice axis, boxes are in voxel indices of the user's volume, and
planes are (rows, cols) in the user's two in-plane axes: the 2-D slice of the (k, j, i) array.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sammix_core.boxes import Box, SliceAxis
from sammix_core.slice_state import SliceState

# Commands: module -> process. Each but `BlockMade` and `Cancel` is answered by exactly one `Finished`.


@dataclass(frozen=True)
class Command:
    """Something to do.

    Attributes:
        request: Number of the command, given by the module, counting up.
    """

    request: int


@dataclass(frozen=True)
class Describe(Command):
    """Look what is installed: answered by a `Description`."""


@dataclass(frozen=True)
class LoadModel(Command):
    """Load a model, and forget every session of the one before.

    Attributes:
        model: Name, name and version, or a folder; see `Segmenter.load`.
        device: "auto", "cpu" or "cuda".
        base_weights: A local file of the base model's weights, or None for the installed one.
    """

    model: str
    device: str
    base_weights: str | None = None


@dataclass(frozen=True)
class VolumeCommand(Command):
    """Something to do with one volume.

    Attributes:
        volume_id: The module's own name of the volume (the MRML node's ID), never a patient's.
    """

    volume_id: str


@dataclass(frozen=True)
class Block:
    """An array in shared memory.

    Attributes:
        name: The system's name of the block.
        shape: Shape of the array, C order.
        dtype: numpy's short name of its type, "<i2".
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class BlockMade:
    """There is a block of shared memory now; the process removes its name if the module dies before it could."""

    name: str


@dataclass(frozen=True)
class OpenVolume(VolumeCommand):
    """Take a volume from shared memory and open a session for it; one of the same name is closed first.

    Attributes:
        block: The voxels, (k, j, i); any type that numpy has a number for.
        ijk_to_ras: (4, 4) float64, voxel indices to RAS in mm.
        spacing_known: Whether the matrix says real millimetres.
        guidance: What an earlier process found (`GuidanceFound.guidance`), or None.
        states: Slices as they were left.
    """

    block: Block
    ijk_to_ras: np.ndarray
    spacing_known: bool
    guidance: bytes | None = None
    states: tuple[SliceState, ...] = ()


@dataclass(frozen=True)
class CloseVolume(VolumeCommand):
    """Forget a volume and all that was computed for it."""


@dataclass(frozen=True)
class Run(VolumeCommand):
    """Find boxes on all slices, then segment every slice with a box. Boxes and masks that a person made stay."""


@dataclass(frozen=True)
class SegmentSlices(VolumeCommand):
    """Segment slices from the boxes that they have.

    Attributes:
        slices: Which; those without a box are emptied.
        force: Whether slices that were corrected by hand are segmented too.
    """

    slices: tuple[int, ...]
    force: bool = False


@dataclass(frozen=True)
class Interpolate(VolumeCommand):
    """Fill the slices between two edited boxes with boxes, and segment those.

    Attributes:
        first, last: The edited slices; None for the first and last there are.
        force: Whether slices that were corrected by hand are segmented too.
    """

    first: int | None = None
    last: int | None = None
    force: bool = False


@dataclass(frozen=True)
class SegmentSlice(VolumeCommand):
    """Segment one slice from a box that takes the place of its own.

    Attributes:
        box: The box.
        force: Whether it is segmented even if it was corrected by hand.
    """

    box: Box
    force: bool = False


@dataclass(frozen=True)
class ResetSlices(VolumeCommand):
    """Take slices back to their automatic boxes and segment them; without one they become empty.

    Attributes:
        slices: Which.
        force: Whether slices that were corrected by hand are reset too.
    """

    slices: tuple[int, ...]
    force: bool = False


@dataclass(frozen=True)
class SetStates(VolumeCommand):
    """Put slices back as they are given, computing nothing: undo, redo, deletions, corrections by hand.

    Attributes:
        states: The slices.
    """

    states: tuple[SliceState, ...]


@dataclass(frozen=True)
class PrepareSlices(VolumeCommand):
    """Encode slices that may be edited next, as long as there is nothing else to do; it ends early otherwise.

    Attributes:
        slices: Which, the most likely first.
    """

    slices: tuple[int, ...]


@dataclass(frozen=True)
class ShowCam(VolumeCommand):
    """Send the class activation map of slices: answered by a `CamSlice` each.

    Attributes:
        slices: Which.
    """

    slices: tuple[int, ...]


@dataclass(frozen=True)
class Cancel:
    """Stop a command that runs or waits; taken at once, even in the middle of an encoder pass.

    Attributes:
        request: Of the command to stop.
    """

    request: int


# Events: process -> module.


@dataclass(frozen=True)
class Hello:
    """The process is up.

    Attributes:
        pid: Its own process ID; a launcher's may be another.
        missing: Distributions that segmentation needs and that are not installed; empty when it can compute.
        core_version: Version of the `sammix_core` that it uses.
        core_path: Folder of that `sammix_core`.
    """

    pid: int
    missing: tuple[str, ...]
    core_version: str
    core_path: str


@dataclass(frozen=True)
class DeviceInfo:
    """A device that can compute.

    Attributes:
        name: What `LoadModel.device` takes: "cpu" or "cuda".
        title: For people: "CPU, 2 cores" or "NVIDIA H200, 139 GB".
    """

    name: str
    title: str


@dataclass(frozen=True)
class ModelInfo:
    """A model in the store.

    Attributes:
        spec: "liver/1.0.0".
        target: What it segments, "liver".
        shipped: Whether it came with SAMMix.
        folder: Where it lies.
    """

    spec: str
    target: str
    shipped: bool
    folder: str


@dataclass(frozen=True)
class Description:
    """What is installed.

    Attributes:
        versions: Version by package; "sammix" and "python" among them.
        devices: What can compute, best first.
        models: Models that can be loaded.
        faults: Plain sentences on what is there and cannot be used.
    """

    versions: dict[str, str]
    devices: tuple[DeviceInfo, ...]
    models: tuple[ModelInfo, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelLoaded:
    """A model is ready.

    Attributes:
        spec: "liver/1.0.0".
        target: What it segments.
        device: "cpu" or "cuda".
        engine: How the encoder runs: "torch" or "openvino".
        seconds: How long loading took.
    """

    spec: str
    target: str
    device: str
    engine: str
    seconds: float


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
        done, total: Slices of this stage.
        seconds_left: Estimate for this stage; None before there is one.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None


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
    | CancelTaken
    | Finished
)
