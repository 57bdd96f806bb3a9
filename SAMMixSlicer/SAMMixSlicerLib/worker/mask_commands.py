"""Commands about existing masks: files, surfaces, measurements, corrections to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sammix_core.volume_io.segments import Segment
from SAMMixSlicerLib.worker.commands import VolumeCommand
from SAMMixSlicerLib.worker.mask_on_grid import MaskOnGrid


@dataclass(frozen=True)
class MaskCommand(VolumeCommand):
    """A command that changes no mask and may therefore run between two slices of a run."""

    quick: ClassVar[bool] = True


@dataclass(frozen=True)
class WriteLabelmap(MaskCommand):
    """Write a mask to a labelmap file; needs neither the volume nor a model.

    Attributes:
        mask: The mask on the grid that goes into the file.
        spacing_known: Whether the grid holds real millimetres.
        path: The suffix selects the format; see `sammix_core.volume_io.labelmap_writing.write_labelmap`.
        segment: Name, colour and terminology of the mask.
    """

    mask: MaskOnGrid
    spacing_known: bool
    path: str
    segment: Segment


@dataclass(frozen=True)
class WriteDicomSeg(MaskCommand):
    """Write a mask as DICOM SEG in the study of its CT; needs neither the volume nor a model.

    Attributes:
        mask: The mask on the grid of the CT's series.
        path: The file.
        segment: Name, colour and terminology of the mask.
        files: The DICOM files of the CT, in any order.
        model: The model that made the mask, "liver/1.0.0", or "".
        by_person: Whether a person edited boxes or masks.
    """

    mask: MaskOnGrid
    path: str
    segment: Segment
    files: tuple[str, ...]
    model: str
    by_person: bool


@dataclass(frozen=True)
class MeasureMask(MaskCommand):
    """Measure a mask of an open volume: answered by `MaskMeasured`.

    Attributes:
        mask: The mask on the volume's grid.
    """

    mask: MaskOnGrid


@dataclass(frozen=True)
class MakeSurface(MaskCommand):
    """Make the surface of a mask: answered by `SurfaceMade`; needs neither the volume nor a model.

    Attributes:
        mask: The mask on any grid; the surface is in the RAS of that grid.
        smoothing: From 0 (voxel steps) to 1, as in Slicer's own conversion.
    """

    mask: MaskOnGrid
    smoothing: float


@dataclass(frozen=True)
class SaveCorrections(MaskCommand):
    """Update a correction set from the current slices: answered by `CorrectionsSaved`.

    Slices corrected by hand are added; entries of slices that are no longer corrected are removed.

    Attributes:
        slices: Indices of the slices.
        folder: Folder of the correction set, created if it does not exist.
        target: The structure that the masks show.
        accepted: Whether to add masks made by the model, too, because the user has accepted them.
    """

    slices: tuple[int, ...]
    folder: str
    target: str
    accepted: bool = False
