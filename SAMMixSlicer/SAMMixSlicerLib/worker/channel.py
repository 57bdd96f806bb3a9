"""The module's end of the connection to the process: a non-blocking socket."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from typing import Any

from SAMMixSlicerLib.worker.framing import Decoder, encode

_CHUNK_BYTES = 1024**2


class Channel:
    """Sends and receives messages without blocking.

    Attributes:
        isClosed: Whether the other end is gone; messages that arrived before are still returned.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.isClosed = False
        self._socket = connection
        self._socket.setblocking(False)
        # A box edit is one small message; without this the system would hold it back to fill a packet.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder()
        self._outgoing: deque[memoryview] = deque()

    def fileno(self) -> int:
        """The socket's descriptor, for a notifier; -1 once it is closed."""
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Queues a message and sends what the socket takes; the rest goes with the next `flush`."""
        self._outgoing.append(memoryview(encode(message)))
        self.flush()

    def sendStartup(self, settings: dict[str, Any]) -> None:
        """Queues the first message, as JSON: the process cannot import what reads the others before it has its path."""
        content = json.dumps(settings).encode()
        self._outgoing.append(memoryview(len(content).to_bytes(4, "big") + content))
        self.flush()

    def flush(self) -> None:
        """Sends queued bytes as far as the other end takes them."""
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
            self._markClosed()

    def receive(self, seconds: float) -> list[Any]:
        """Returns the messages that have arrived, within about `seconds`."""
        messages: list[Any] = []
        deadline = time.perf_counter() + seconds
        while not self.isClosed:
            try:
                chunk = self._socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            if not chunk:
                self._markClosed()
                break
            messages.extend(self._decoder.feed(chunk))
            if time.perf_counter() >= deadline:
                break
        return messages

    def close(self) -> None:
        """Closes the socket."""
        self._markClosed()
        self._socket.close()

    def _markClosed(self) -> None:
        self.isClosed = True
        self._outgoing.clear()
