"""Commands about lesions; the liver is the mask that the computing process holds at that moment.

Each command carries the lesions it needs, so that a new process can continue where another has died.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sammix_core.lesions.state import Ijk, LesionState
from sammix_core.masks.packed_mask import BoxedMask
from SAMMixSlicerLib.worker.commands import VolumeCommand
from SAMMixSlicerLib.worker.mask_commands import MaskCommand
from SAMMixSlicerLib.worker.mask_on_grid import MaskOnGrid


@dataclass(frozen=True)
class FindLesions(VolumeCommand):
    """Find lesion candidates in the liver: answered by `Progressed` and `LesionsFound`.

    Attributes:
        kept: Known lesions; candidates that overlap one of them are not reported again.
    """

    kept: tuple[BoxedMask, ...]
    stoppable: ClassVar[bool] = True


@dataclass(frozen=True)
class ClickLesion(VolumeCommand):
    """Apply a click: answered by `Progressed` and `LesionUpdated`.

    Attributes:
        ijk: Voxel of the volume.
        inside: Whether the voxel belongs to a lesion, or to none.
        lesions: All lesions that were not rejected; they keep their voxels.
        target: Number of the lesion to change; 0 for the lesion connected to the clicked voxel, or a new one if there
            is none. A click outside needs a target.
    """

    ijk: Ijk
    inside: bool
    lesions: tuple[LesionState, ...]
    target: int = 0
    stoppable: ClassVar[bool] = True


@dataclass(frozen=True)
class RefineLesion(VolumeCommand):
    """Refine a lesion by one stage on all its slices: answered by `Progressed` and `LesionUpdated`. Needs a model.

    Attributes:
        number: Number of the lesion.
        lesions: All lesions that were not rejected; the others keep their voxels.
    """

    number: int
    lesions: tuple[LesionState, ...]
    stoppable: ClassVar[bool] = True


@dataclass(frozen=True)
class MeasureLesions(MaskCommand):
    """Measure lesions that were changed by hand: answered by `LesionsMeasured`.

    Attributes:
        lesions: Mask by number.
    """

    lesions: dict[int, BoxedMask]


@dataclass(frozen=True)
class WriteLesions(MaskCommand):
    """Write liver and lesions to one labelmap file; needs neither the volume nor a model.

    Attributes:
        liver: The liver's mask on the grid that goes into the file.
        lesions: Mask by number; a lesion's label is its number plus one.
        spacing_known: Whether the grid holds real millimetres.
        path: The suffix selects the format.
    """

    liver: MaskOnGrid
    lesions: dict[int, BoxedMask]
    spacing_known: bool
    path: str
