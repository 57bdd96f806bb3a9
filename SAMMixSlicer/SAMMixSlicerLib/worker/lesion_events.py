"""What the computing process tells of lesions."""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.lesions.lesion import Lesion
from sammix_core.lesions.state import LesionState
from sammix_core.masks.boxed_mask import BoxedMask
from SAMMixSlicerLib.worker.events import VolumeEvent


@dataclass(frozen=True)
class LesionsFound(VolumeEvent):
    """What `FindLesions` found.

    Attributes:
        found: Mask and figures of each, the largest first.
    """

    found: tuple[tuple[BoxedMask, Lesion], ...]


@dataclass(frozen=True)
class LesionGrown(VolumeEvent):
    """What a click or a stage of refinement came to.

    Attributes:
        state: The lesion as it is now; its number is 0 where it is a new one.
    """

    state: LesionState


@dataclass(frozen=True)
class LesionsMeasured(VolumeEvent):
    """What `MeasureLesions` found.

    Attributes:
        figures: By number.
        masks: What was measured, by number: it may have changed since.
    """

    figures: dict[int, Lesion]
    masks: dict[int, BoxedMask]
