"""Everything that is known of one lesion in work: what undo and a saved scene put back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sammix_core.lesions.lesion import Lesion
from sammix_core.masks.boxed_mask import BoxedMask

Ijk = tuple[int, int, int]


class LesionStatus(StrEnum):
    """What a person has said of a lesion."""

    CANDIDATE = "candidate"  # nothing yet
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class LesionClick:
    """A click on a lesion.

    Attributes:
        ijk: Voxel of the CT.
        inside: Whether it belongs to the lesion.
    """

    ijk: Ijk
    inside: bool


@dataclass(frozen=True, slots=True)
class LesionState:
    """One lesion in work.

    Attributes:
        number: 1 and up; its name says it, and its label in a labelmap with the liver is one more.
        status: What a person has said of it.
        mask: Its voxels.
        start: What its clicks began from: a candidate, or a mask made by hand; None where a click began it.
        clicks: In their order.
        figures: Its size and density; None while they are being measured.
    """

    number: int
    status: LesionStatus
    mask: BoxedMask
    start: BoxedMask | None = None
    clicks: tuple[LesionClick, ...] = ()
    figures: Lesion | None = None
