"""What the module asks of the computing process about lesions; the liver is the mask that the process has by then.

Each command holds what it needs of the lesions, so that a new process goes on where another has died.
"""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.lesions.state import Ijk, LesionState
from sammix_core.masks.boxed_mask import BoxedMask
from SAMMixSlicerLib.worker.commands import VolumeCommand
from SAMMixSlicerLib.worker.mask_commands import MaskCommand
from SAMMixSlicerLib.worker.mask_on_grid import MaskOnGrid


@dataclass(frozen=True)
class FindLesions(VolumeCommand):
    """Look for all in the liver that may be a lesion: answered by `LesionsFound`.

    Attributes:
        kept: Lesions that are known; what meets one of them is not found again.
    """

    kept: tuple[BoxedMask, ...]


@dataclass(frozen=True)
class ClickLesion(VolumeCommand):
    """Take a click: answered by `LesionGrown`.

    Attributes:
        ijk: Voxel of the volume.
        inside: Whether it belongs to a lesion, or is none of it.
        lesions: All that there are and that were not rejected; they keep their voxels.
        target: Number of the lesion that is meant; 0 for the one that the click's place hangs together with, which is
            a new one where none does. A place outside needs one.
    """

    ijk: Ijk
    inside: bool
    lesions: tuple[LesionState, ...]
    target: int = 0


@dataclass(frozen=True)
class RefineLesion(VolumeCommand):
    """Refine a lesion by one stage on all its slices: answered by `LesionGrown`. Needs a model.

    Attributes:
        number: Which.
        lesions: All that there are and that were not rejected; the others keep their voxels.
    """

    number: int
    lesions: tuple[LesionState, ...]


@dataclass(frozen=True)
class MeasureLesions(MaskCommand):
    """Measure lesions that were changed by hand: answered by `LesionsMeasured`.

    Attributes:
        lesions: Mask by number.
    """

    lesions: dict[int, BoxedMask]


@dataclass(frozen=True)
class WriteLesions(MaskCommand):
    """Write liver and lesions as one labelmap file; needs neither the volume nor a model.

    Attributes:
        liver: On the grid that goes into the file.
        lesions: Mask by number; a lesion's label is one more.
        spacing_known: Whether the grid says real millimetres.
        path: Its ending chooses the format.
    """

    liver: MaskOnGrid
    lesions: dict[int, BoxedMask]
    spacing_known: bool
    path: str
