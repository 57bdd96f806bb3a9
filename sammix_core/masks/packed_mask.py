"""Masks that take an eighth of their bytes: a slice's as a whole, a small part of a volume with the box round it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class PackedMask:
    """One slice's mask, eight pixels a byte: 32 KB for 512 x 512, so that an undo stack may hold many.

    Attributes:
        shape: (rows, cols) in the user's two in-plane axes: the 2-D slice of the (k, j, i) array.
        bits: The pixels in C order, as `numpy.packbits` makes them.

    Example:
        >>> mask = PackedMask.pack(np.array([[0, 1, 1], [0, 0, 1]], dtype=np.uint8))
        >>> mask.unpack().tolist(), mask.area_px
        ([[0, 1, 1], [0, 0, 1]], 3)
    """

    shape: tuple[int, int]
    bits: bytes

    @classmethod
    def pack(cls, mask: np.ndarray) -> PackedMask:
        """Packs a (rows, cols) array; what is not 0 is inside."""
        rows, cols = mask.shape
        return cls((rows, cols), _bits(mask))

    def unpack(self) -> np.ndarray:
        """(rows, cols) uint8, 1 inside; a copy."""
        return _pixels(self.bits, self.shape)

    @property
    def area_px(self) -> int:
        """How many pixels are inside."""
        return int.from_bytes(self.bits, "little").bit_count()


@dataclass(frozen=True, slots=True)
class BoxedMask:
    """A small mask in a large volume: a few KB instead of fifty MB, so that every step of an undo stack may hold some.

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
        box = []
        for axis in range(3):
            filled = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
            box.append(slice(int(filled[0]), int(filled[-1]) + 1))
        part = inside[tuple(box)]
        (k, j, i), (n_k, n_j, n_i) = (edge.start for edge in box), part.shape
        return cls((start[0] + k, start[1] + j, start[2] + i), (n_k, n_j, n_i), _bits(part))

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where it lies in an array of the volume, (k, j, i)."""
        (k, j, i), (n_k, n_j, n_i) = self.start, self.shape
        return slice(k, k + n_k), slice(j, j + n_j), slice(i, i + n_i)

    @property
    def voxels(self) -> int:
        """How many voxels are inside."""
        return int.from_bytes(self.bits, "little").bit_count()

    def unpack(self) -> np.ndarray:
        """(k, j, i) bool of the box."""
        return _pixels(self.bits, self.shape).astype(bool)

    def on(self, shape: tuple[int, int, int]) -> np.ndarray:
        """(k, j, i) bool of a whole volume of a shape that it fits into."""
        whole = np.zeros(shape, dtype=bool)
        whole[self.box] = self.unpack()
        return whole

    def __contains__(self, ijk: object) -> bool:
        """Whether a voxel (i, j, k) is inside."""
        if not isinstance(ijk, tuple):
            return False
        in_box = tuple(at - first for at, first in zip(ijk[::-1], self.start, strict=True))
        if not all(0 <= at < size for at, size in zip(in_box, self.shape, strict=True)):
            return False
        return bool(self.unpack()[in_box])

    def meets(self, other: BoxedMask) -> int:
        """How many voxels two masks have in common."""
        mine, theirs = self._shared_box(other), other._shared_box(self)
        return 0 if mine is None or theirs is None else int((self.unpack()[mine] & other.unpack()[theirs]).sum())

    def without(self, other: BoxedMask) -> BoxedMask | None:
        """This mask without the voxels of another; None where nothing is left."""
        mine, theirs = self._shared_box(other), other._shared_box(self)
        if mine is None or theirs is None:
            return self
        rest = self.unpack()
        rest[mine] &= ~other.unpack()[theirs]
        return BoxedMask.pack(rest, self.start) if rest.any() else None

    def _shared_box(self, other: BoxedMask) -> tuple[slice, ...] | None:
        """The part of this box that lies in another, from this box's first voxel on; None where none does."""
        shared = []
        for start, size, low, length in zip(self.start, self.shape, other.start, other.shape, strict=True):
            first, last = max(start, low), min(start + size, low + length)
            if first >= last:
                return None
            shared.append(slice(first - start, last - start))
        return tuple(shared)


def _bits(mask: np.ndarray) -> bytes:
    return np.packbits(mask != 0).tobytes()


def _pixels(bits: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """uint8, 1 inside."""
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=math.prod(shape)).reshape(shape)
