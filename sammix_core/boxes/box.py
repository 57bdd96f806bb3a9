"""One box on one slice, and who set it."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sammix_core.errors import InputError

_EDGES = ("i_min", "j_min", "i_max", "j_max")


class BoxSource(StrEnum):
    """Who set a box: the guidance, a person, or the program from what a person did on other slices."""

    AUTO = "auto"
    EDITED = "edited"
    INTERPOLATED = "interpolated"  # between two that a person set
    CARRIED = "carried"  # round a mask that a correction of another slice was carried to


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box on one slice, in voxel indices of the user's own volume.

    The two in-plane axes are the two that the slices are not stacked along, in the order i, j, k: the first of them
    plays "i" in the names below and the second plays "j". When slices are stacked along k they are i and j; along j,
    i and k; along i, j and k. So the 2-D slice of the (k, j, i) array always has "j" as rows and "i" as columns.

    Attributes:
        slice_index: Index of the slice along the track's slice axis.
        i_min: First voxel inside along the first in-plane axis.
        j_min: First voxel inside along the second in-plane axis.
        i_max: First voxel past the box along the first in-plane axis.
        j_max: First voxel past the box along the second in-plane axis.
        source: Who set it.
        score: How sure the guidance was of this box, any finite number, higher is surer; None where a person set it.
        probability: Probability in [0, 1] that the slice shows liver, where it is known.
        part: Which part of the structure it holds, where a slice shows several; the same number on all slices of a
            part.

    Raises:
        InputError: An edge or the part is not a whole number or negative, a minimum is not below its maximum, or a
            score or probability is not such a number.
    """

    slice_index: int
    i_min: int
    j_min: int
    i_max: int
    j_max: int
    source: BoxSource = BoxSource.AUTO
    score: float | None = None
    probability: float | None = None
    part: int = 0

    def __post_init__(self) -> None:
        for name in ("slice_index", *_EDGES, "part"):
            # object.__setattr__ because the class is frozen: numpy's integers become Python's, which JSON can write.
            object.__setattr__(self, name, whole_number(getattr(self, name), name))
        where = f"The box on slice {self.slice_index}"
        if self.i_min >= self.i_max or self.j_min >= self.j_max:
            raise InputError(
                f"{where} is empty: i_min {self.i_min} must be below i_max {self.i_max}, and j_min {self.j_min} below "
                f"j_max {self.j_max}."
            )
        try:
            object.__setattr__(self, "source", BoxSource(self.source))
        except ValueError:
            allowed = ", ".join(BoxSource)
            raise InputError(f"{where} has the unknown source {self.source!r}; it must be one of {allowed}.") from None
        for name in ("score", "probability"):
            object.__setattr__(self, name, _number_or_none(getattr(self, name), f"{where} has a {name}"))
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise InputError(f"{where} has the probability {self.probability}; it must lie from 0 to 1.")

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """(i_min, j_min, i_max, j_max), half-open."""
        return (self.i_min, self.j_min, self.i_max, self.j_max)

    @property
    def slices(self) -> tuple[slice, slice]:
        """What to index the 2-D slice of a (k, j, i) array with: rows, columns."""
        return (slice(self.j_min, self.j_max), slice(self.i_min, self.i_max))


def whole_number(value: Any, name: str) -> int:
    """Takes Python's and numpy's integers from 0 up, and raises an InputError that names anything else."""
    # bool is a number to Python, and true in a file is a slip; 12.0 may be a coordinate in other units.
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InputError(f"{name} must be a whole number, not {value!r}.")
    if value < 0:
        raise InputError(f"{name} must not be negative, but is {value}.")
    return int(value)


def _number_or_none(value: Any, what: str) -> float | None:
    if value is None:
        return None
    if type(value) is not bool and isinstance(value, numbers.Real):
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
        if math.isfinite(number):
            return number
    raise InputError(f"{what} that is no finite number: {value!r}.")
