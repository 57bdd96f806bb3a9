"""Commands that the module sends to the computing process: plain frozen data, pickled between the two.

Slices are named by their index along the user's slice axis, boxes are in voxel indices of the user's volume, and
planes are (rows, cols) in the user's two in-plane axes: the 2-D slice of the (k, j, i) array. Each command except
`BlockCreated` and `Cancel` is answered by exactly one `Finished`.

To add a command, touch two places:

1. Define it as a subclass of `Command` or `VolumeCommand`, here, in `mask_commands` or in `lesion_commands`, and set
   the traits that differ from the default (`stoppable`, `repeatable`, `quick`).
2. Write its handler in `SAMMixSlicerLib/worker/child`: a method decorated with `@handles(YourCommand)` in `dispatcher`,
   or in the class of handlers to which it belongs (`segmenting`, `lesions`).

The panel then calls `worker.submit(YourCommand(...))`. If the handler answers with a new kind of event, define that as
a subclass of `Event` in `events`; `worker.on(YourEvent).connect(...)` needs no registration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from sammix_core.boxes import Box, Click
from sammix_core.segmentation.slice_state import SliceState


@dataclass(frozen=True)
class Command:
    """Something for the computing process to do.

    Attributes:
        request: Number of the command; `Worker.submit` assigns it, counting up from 1.
        stoppable: Whether the user may cancel it. Commands that are fast or that everything else needs are not.
        repeatable: Whether a new process does it again if the old one died before finishing it.
        quick: Whether it may be handled between two slices of a long command; see `may_interrupt`.
    """

    request: int = field(default=0, kw_only=True)
    stoppable: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False
    quick: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Name of the command as `Finished.command` reports it."""
        return type(self).__name__


@dataclass(frozen=True)
class Describe(Command):
    """Report what is installed: answered by a `Description`."""

    repeatable: ClassVar[bool] = True


@dataclass(frozen=True)
class LoadModel(Command):
    """Load a model and drop every session of the previous one: answered by `ModelLoaded`.

    Corrections stay; computed masks stay until their slices are segmented again.

    Attributes:
        model: Name, name and version, or a folder; see `Segmenter.load`.
        device: "auto", "cpu" or "cuda".
        base_weights: A local file with the base model's weights, or None for the installed one.
    """

    model: str
    device: str = "auto"
    base_weights: str | None = None
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True)
class VolumeCommand(Command):
    """Something to do with one volume.

    Attributes:
        volume_id: The module's own name of the volume (the MRML node's ID), never a patient's.
    """

    volume_id: str

    def may_interrupt(self, running_on: str) -> bool:
        """Whether it may be handled between two slices of a command that runs on the volume `running_on`."""
        return self.quick


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
class BlockCreated:
    """A block of shared memory exists; the process removes its name if the module dies before it can."""

    name: str


@dataclass(frozen=True)
class OpenVolume(VolumeCommand):
    """Attach to a volume in shared memory: answered by `VolumeOpened`. A volume of the same ID is closed first.

    Attributes:
        block: The voxels, (k, j, i), of any real type.
        ijk_to_ras: (4, 4) float64, voxel indices to RAS in mm.
        spacing_known: Whether the matrix holds real millimetres.
        values_are_hu: Whether the user says that the values are Hounsfield units; they are not checked then.
        guidance: The result of an earlier run (`GuidanceFound.guidance`), or None.
        states: The slices as they were.
    """

    block: Block
    ijk_to_ras: np.ndarray
    spacing_known: bool
    guidance: bytes | None = None
    states: tuple[SliceState, ...] = ()
    values_are_hu: bool = False
    repeatable: ClassVar[bool] = True

    def may_interrupt(self, running_on: str) -> bool:
        """As `VolumeCommand`, but never under a command that runs on the same volume."""
        return self.volume_id != running_on


@dataclass(frozen=True)
class CloseVolume(VolumeCommand):
    """Drop a volume and everything computed for it."""

    repeatable: ClassVar[bool] = True

    def may_interrupt(self, running_on: str) -> bool:
        """As `VolumeCommand`, but never under a command that runs on the same volume."""
        return self.volume_id != running_on


@dataclass(frozen=True)
class Run(VolumeCommand):
    """Find boxes on all slices, then segment every slice with a box; boxes and masks made by hand stay.

    Answered by `Progressed`, `SliceScored`, `GuidanceFound` and `SliceChanged`.
    """

    stoppable: ClassVar[bool] = True


@dataclass(frozen=True)
class SegmentSlices(VolumeCommand):
    """Segment slices from their current boxes: answered by `SliceChanged`.

    Attributes:
        slices: Indices of the slices; those without a box become empty.
        force: Whether to segment slices that were corrected by hand, too.
    """

    slices: tuple[int, ...]
    force: bool = False
    stoppable: ClassVar[bool] = True

    def may_interrupt(self, running_on: str) -> bool:
        """As `VolumeCommand`, for a single slice."""
        return len(self.slices) <= 1


@dataclass(frozen=True)
class InterpolateBoxes(VolumeCommand):
    """Fill the slices between edited boxes with interpolated boxes, and segment them: answered by `SliceChanged`.

    Attributes:
        first, last: The edited slices; None for the first and last ones there are.
        force: Whether to segment slices that were corrected by hand, too.
    """

    first: int | None = None
    last: int | None = None
    force: bool = False
    stoppable: ClassVar[bool] = True


@dataclass(frozen=True)
class SegmentSlice(VolumeCommand):
    """Segment one slice with a box that replaces the slice's box of its part: answered by one `SliceChanged`.

    Attributes:
        box: The box; the slice's boxes of other parts stay.
        force: Whether to segment the slice even if it was corrected by hand.
    """

    box: Box
    force: bool = False
    stoppable: ClassVar[bool] = True
    quick: ClassVar[bool] = True


@dataclass(frozen=True)
class DeleteBox(VolumeCommand):
    """Delete a box of a slice, and segment the slice from the others: answered by one `SliceChanged`.

    Attributes:
        slice_index: The slice.
        part: The box's part.
        force: Whether to segment the slice even if it was corrected by hand.
    """

    slice_index: int
    part: int
    force: bool = False
    stoppable: ClassVar[bool] = True
    quick: ClassVar[bool] = True


@dataclass(frozen=True)
class AddClick(VolumeCommand):
    """Add a click to a slice, in place of one on the same voxel, and segment it: answered by one `SliceChanged`.

    Attributes:
        click: The click.
    """

    click: Click
    stoppable: ClassVar[bool] = True
    quick: ClassVar[bool] = True


@dataclass(frozen=True)
class DeleteClick(VolumeCommand):
    """Delete a click, and segment its slice without it: answered by one `SliceChanged`.

    Attributes:
        click: The click.
    """

    click: Click
    stoppable: ClassVar[bool] = True
    quick: ClassVar[bool] = True


@dataclass(frozen=True)
class Carry(VolumeCommand):
    """Carry the correction of a slice to its neighbours: answered by `Progressed` and `SliceChanged`.

    Slices that a person has worked on stay as they are. Where it is cancelled, all do.

    Attributes:
        slice_index: The corrected slice.
    """

    slice_index: int
    stoppable: ClassVar[bool] = True


@dataclass(frozen=True)
class ResetSlices(VolumeCommand):
    """Restore the automatic boxes of slices and segment them; slices without an automatic box become empty.

    Answered by `SliceChanged`.

    Attributes:
        slices: Indices of the slices.
        force: Whether to reset slices that were corrected by hand, too.
    """

    slices: tuple[int, ...]
    force: bool = False
    stoppable: ClassVar[bool] = True

    def may_interrupt(self, running_on: str) -> bool:
        """As `VolumeCommand`, for a single slice."""
        return len(self.slices) <= 1


@dataclass(frozen=True)
class SetStates(VolumeCommand):
    """Set slices to given states and compute nothing: undo, redo, deletions, corrections by hand.

    Attributes:
        states: The slices.
    """

    states: tuple[SliceState, ...]
    quick: ClassVar[bool] = True


@dataclass(frozen=True)
class EncodeSlices(VolumeCommand):
    """Encode slices that may be edited next while the process is idle; ends early when other commands wait.

    Attributes:
        slices: Indices of the slices, the most likely first.
    """

    slices: tuple[int, ...]
    stoppable: ClassVar[bool] = True


@dataclass(frozen=True)
class FetchCam(VolumeCommand):
    """Send the class activation maps of slices: answered by one `CamReady` each.

    Attributes:
        slices: Indices of the slices.
    """

    slices: tuple[int, ...]
    stoppable: ClassVar[bool] = True
    quick: ClassVar[bool] = True


@dataclass(frozen=True)
class Cancel:
    """Stop a running or waiting command; received at once, even in the middle of an encoder pass.

    Attributes:
        request: Number of the command to stop.
    """

    request: int
