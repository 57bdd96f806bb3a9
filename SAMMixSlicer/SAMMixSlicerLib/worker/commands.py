"""What the module asks of the computing process: plain frozen data, pickled between the two.

Slices are named by their index along the user's slice axis, boxes are in voxel indices of the user's volume, and
planes are (rows, cols) in the user's two in-plane axes: the 2-D slice of the (k, j, i) array. Each command but
`BlockMade` and `Cancel` is answered by exactly one `Finished`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sammix_core.boxes import Box
from sammix_core.segmentation.slice_state import SliceState


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
