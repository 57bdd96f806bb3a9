"""Bits of packed masks as text, for attributes of nodes in the scene."""

from __future__ import annotations

import base64
import math
import zlib


def bitsToText(bits: bytes) -> str:
    """The bits of a packed mask, compressed, as text: a liver's slice of 32 KB takes about 1 KB."""
    return base64.b64encode(zlib.compress(bits)).decode("ascii")


def bitsFromText(text: str, shape: tuple[int, ...]) -> bytes:
    """The inverse of `bitsToText`.

    Args:
        text: From `bitsToText`.
        shape: Shape of the mask.

    Raises:
        ValueError: The text is damaged, or the bits are not those of a mask of this shape.
    """
    try:
        bits = zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if min(shape) < 1 or len(bits) != (math.prod(shape) + 7) // 8:
        raise ValueError("the size of a mask is wrong")
    return bits
