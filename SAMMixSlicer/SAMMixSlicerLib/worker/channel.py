"""The module's end of the line to the process: a socket that never makes anybody wait."""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import Any

from SAMMixSlicerLib.worker.framing import Decoder, encoded

_PIECE_BYTES = 1024**2


class Channel:
    """Sends and receives messages without blocking.

    Attributes:
        isClosed: Whether the other end is gone; what had arrived before that is still handed out.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.isClosed = False
        self._socket = connection
        self._socket.setblocking(False)
        # A box edit is one small message: it must not wait for company.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder()
        self._outgoing: deque[memoryview] = deque()

    def fileno(self) -> int:
        """The socket's number, for a notifier; -1 once it is closed."""
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Puts a message on its way; what does not go at once goes with the next `flush`."""
        self._outgoing.append(memoryview(encoded(message)))
        self.flush()

    def flush(self) -> None:
        """Sends what waits, as far as the other end takes it."""
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing[0])
                rest = self._outgoing[0][sent:]
                if len(rest):
                    self._outgoing[0] = rest
                else:
                    self._outgoing.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._end()

    def receive(self, seconds: float) -> list[Any]:
        """The messages that are there, taking no longer than about so long."""
        messages: list[Any] = []
        until = time.perf_counter() + seconds
        while not self.isClosed:
            try:
                piece = self._socket.recv(_PIECE_BYTES)
            except BlockingIOError:
                break
            except OSError:
                piece = b""
            if not piece:
                self._end()
                break
            messages.extend(self._decoder.feed(piece))
            if time.perf_counter() >= until:
                break
        return messages

    def close(self) -> None:
        """Closes the line."""
        self._end()
        self._socket.close()

    def _end(self) -> None:
        self.isClosed = True
        self._outgoing.clear()
