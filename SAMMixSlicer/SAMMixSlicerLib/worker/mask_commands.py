"""Commands about the masks that there are: files, surfaces, measurements, corrections to learn from."""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.volume_io.segments import Segment
from SAMMixSlicerLib.worker.commands import VolumeCommand
from SAMMixSlicerLib.worker.mask_on_grid import MaskOnGrid


@dataclass(frozen=True)
class MaskCommand(VolumeCommand):
    """Something that changes no mask, and so may be done between two slices of a run."""


@dataclass(frozen=True)
class WriteLabelmap(MaskCommand):
    """Write a mask as a labelmap file; needs neither the volume nor a model.

    Attributes:
        mask: On the grid that goes into the file.
        spacing_known: Whether the grid says real millimetres.
        path: Its ending chooses the format; see `sammix_core.volume_io.labelmap_writing.write_labelmap`.
        segment: What the mask is.
    """

    mask: MaskOnGrid
    spacing_known: bool
    path: str
    segment: Segment


@dataclass(frozen=True)
class Measure(MaskCommand):
    """Measure a mask of an open volume: answered by `Measured`.

    Attributes:
        mask: On the volume's grid.
    """

    mask: MaskOnGrid


@dataclass(frozen=True)
class MakeSurface(MaskCommand):
    """Make the surface of a mask: answered by `SurfaceMade`; needs neither the volume nor a model.

    Attributes:
        mask: On any grid; the surface is in its RAS.
        smoothing: From 0 (the steps of the voxels) to 1, as Slicer's conversion has it.
    """

    mask: MaskOnGrid
    smoothing: float


@dataclass(frozen=True)
class KeepCorrections(MaskCommand):
    """Bring a correction set in line with slices as they are now: answered by `CorrectionsKept`.

    A slice that was corrected by hand goes in; the correction of one that is not corrected any more comes out.

    Attributes:
        slices: Which.
        folder: Of the correction set, which is made where there is none.
        target: What the masks show.
        accepted: Whether masks of the model go in too, because a person has found them right.
    """

    slices: tuple[int, ...]
    folder: str
    target: str
    accepted: bool = False
