"""One click on one slice: a point that belongs to the structure, or one that does not."""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.boxes.box import whole_number
from sammix_core.errors import InputError


@dataclass(frozen=True, slots=True)
class Click:
    """A point on one slice, in voxel indices of the user's own volume.

    Attributes:
        slice_index: Index of the slice along the track's slice axis.
        i: Voxel along the first in-plane axis, as in `Box`.
        j: Voxel along the second in-plane axis.
        positive: Whether the point belongs to the structure; False where it does not.

    Raises:
        InputError: A coordinate is not a whole number or negative, or `positive` is neither True nor False.
    """

    slice_index: int
    i: int
    j: int
    positive: bool = True

    def __post_init__(self) -> None:
        for name in ("slice_index", "i", "j"):
            # object.__setattr__ because the class is frozen: numpy's integers become Python's, which JSON can write.
            object.__setattr__(self, name, whole_number(getattr(self, name), name))
        if not isinstance(self.positive, bool):
            raise InputError(
                f"The click on slice {self.slice_index} must say true or false for positive, not {self.positive!r}."
            )
