"""The mask of something small in a large volume: its box, eight voxels a byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class BoxedMask:
    """A mask of a few KB that stands for one of fifty MB, so that every step of an undo stack may hold some.

    Attributes:
        start: First voxel (k, j, i) of the box.
        shape: Of the box, (k, j, i).
        bits: The voxels in C order, as `numpy.packbits` makes them.

    Example:
        >>> mask = np.zeros((3, 4, 5), dtype=bool)
        >>> mask[1, 2, 3:] = True
        >>> packed = BoxedMask.pack(mask)
        >>> packed.start, packed.shape
        ((1, 2, 3), (1, 1, 2))
    """

    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    bits: bytes

    @classmethod
    def pack(cls, mask: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> BoxedMask:
        """Packs a (k, j, i) array; what is not 0 is inside.

        Args:
            mask: A part of a volume, or the whole.
            start: The voxel (k, j, i) of the volume that the array begins with.

        Raises:
            ValueError: Nothing is inside.
        """
        inside = mask != 0
        if not inside.any():
            raise ValueError("an empty mask has no box")
        cut = []
        for axis in range(3):
            held = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
            cut.append(slice(int(held[0]), int(held[-1]) + 1))
        part = inside[tuple(cut)]
        (k, j, i), (n_k, n_j, n_i) = (one.start for one in cut), part.shape
        return cls((start[0] + k, start[1] + j, start[2] + i), (n_k, n_j, n_i), np.packbits(part).tobytes())

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where it lies in an array of the volume, (k, j, i)."""
        (k, j, i), (n_k, n_j, n_i) = self.start, self.shape
        return slice(k, k + n_k), slice(j, j + n_j), slice(i, i + n_i)

    def unpack(self) -> np.ndarray:
        """(k, j, i) bool of the box."""
        count = int(np.prod(self.shape))
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count).reshape(self.shape).astype(bool)

    def on(self, shape: tuple[int, int, int]) -> np.ndarray:
        """(k, j, i) bool of a whole volume of a shape that it fits into."""
        whole = np.zeros(shape, dtype=bool)
        whole[self.box] = self.unpack()
        return whole

    def __contains__(self, ijk: object) -> bool:
        """Whether a voxel (i, j, k) is inside."""
        assert isinstance(ijk, tuple)
        place = tuple(at - first for at, first in zip(ijk[::-1], self.start, strict=True))
        if not all(0 <= at < size for at, size in zip(place, self.shape, strict=True)):
            return False
        return bool(self.unpack()[place])

    def meets(self, other: BoxedMask) -> int:
        """How many voxels two masks have in common."""
        one, two = self._cut_by(other), other._cut_by(self)
        return 0 if one is None or two is None else int((self.unpack()[one] & other.unpack()[two]).sum())

    def without(self, other: BoxedMask) -> BoxedMask | None:
        """This mask without the voxels of another; None where nothing is left."""
        one, two = self._cut_by(other), other._cut_by(self)
        if one is None or two is None:
            return self
        rest = self.unpack()
        rest[one] &= ~other.unpack()[two]
        return BoxedMask.pack(rest, self.start) if rest.any() else None

    def _cut_by(self, other: BoxedMask) -> tuple[slice, ...] | None:
        """The part of this box that lies in another, from this box's first voxel on; None where none does."""
        found = []
        for start, size, low, length in zip(self.start, self.shape, other.start, other.shape, strict=True):
            first, last = max(start, low), min(start + size, low + length)
            if first >= last:
                return None
            found.append(slice(first - start, last - start))
        return tuple(found)
