"""Events about lesions."""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.lesions.lesion import Lesion
from sammix_core.lesions.state import LesionState
from sammix_core.masks.packed_mask import BoxedMask
from SAMMixSlicerLib.worker.events import VolumeEvent


@dataclass(frozen=True)
class LesionsFound(VolumeEvent):
    """Answer to `FindLesions`.

    Attributes:
        candidates: Mask and measurements of each candidate, the largest first.
    """

    candidates: tuple[tuple[BoxedMask, Lesion], ...]


@dataclass(frozen=True)
class LesionUpdated(VolumeEvent):
    """Answer to `ClickLesion` and `RefineLesion`.

    Attributes:
        state: The lesion as it is now; its number is 0 if it is new.
    """

    state: LesionState


@dataclass(frozen=True)
class LesionsMeasured(VolumeEvent):
    """Answer to `MeasureLesions`.

    Attributes:
        figures: Measurements by number.
        masks: The masks that were measured, by number; they may have changed since.
    """

    figures: dict[int, Lesion]
    masks: dict[int, BoxedMask]
