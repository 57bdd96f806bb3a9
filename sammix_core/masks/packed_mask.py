"""One slice's mask in an eighth of its bytes."""

from __future__ import annotations

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
        return cls((rows, cols), np.packbits(mask != 0).tobytes())

    def unpack(self) -> np.ndarray:
        """(rows, cols) uint8 of its own, 1 inside."""
        rows, cols = self.shape
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=rows * cols).reshape(rows, cols)

    @property
    def area_px(self) -> int:
        """How many pixels are inside."""
        return int.from_bytes(self.bits, "little").bit_count()
