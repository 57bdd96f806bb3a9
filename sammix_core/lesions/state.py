"""The whole state of one lesion that is being edited: what undo and a saved scene restore."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sammix_core.lesions.lesion import Lesion
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.refinement.protocol import Ijk


class LesionStatus(StrEnum):
    """What a person decided about a lesion."""

    CANDIDATE = "candidate"  # no decision yet
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
    """One lesion that is being edited.

    Attributes:
        number: 1 and up; part of its name. Its label in a labelmap with the liver is one more.
        status: What a person decided about it.
        mask: Its voxels.
        start: The mask before its clicks, a candidate or one drawn by hand; None where a click began it.
        clicks: In their order.
        figures: Its size and density; None until they are measured.
    """

    number: int
    status: LesionStatus
    mask: BoxedMask
    start: BoxedMask | None = None
    clicks: tuple[LesionClick, ...] = ()
    figures: Lesion | None = None
