"""Messages as bytes: the length, then the pickle. Both ends are ours and authenticate with a token."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from typing import Any

_LENGTH = struct.Struct(">Q")


def encode(message: Any) -> bytes:
    """Returns a message as bytes."""
    content = pickle.dumps(message, protocol=5)
    return _LENGTH.pack(len(content)) + content


class Decoder:
    """Reassembles messages from chunks of any size."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """Adds a chunk and yields the messages that it completes."""
        self._bytes += chunk
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            content = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield pickle.loads(content)
