"""The process's end of the line: a thread listens, so that a cancel is heard while torch computes."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from typing import Any, NamedTuple

from SAMMixSlicerLib.worker.commands import BlockMade, Cancel, Command
from SAMMixSlicerLib.worker.events import CancelTaken
from SAMMixSlicerLib.worker.framing import Decoder, encoded
from SAMMixSlicerLib.worker.shared_array import remove_name

_PIECE_BYTES = 1024**2


class Arrived(NamedTuple):
    """A command and when it came, in seconds of `time.monotonic`."""

    command: Command
    at: float


class Line:
    """Receives commands in order, and cancels ahead of them; ends the process when the module hangs up.

    Attributes:
        arrived: Commands that wait.
    """

    def __init__(self, port: int, token: bytes) -> None:
        self.arrived: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(token)
        self._sending = threading.Lock()
        self._cancelled: set[int] = set()
        self._blocks: set[str] = set()
        threading.Thread(target=self._listen, name="line", daemon=True).start()

    def send(self, event: Any) -> None:
        """Tells the module something."""
        content = encoded(event)
        with self._sending:
            self._socket.sendall(content)

    def is_cancelled(self, request: int) -> bool:
        """Whether the module wants a command to stop."""
        return request in self._cancelled

    def _listen(self) -> None:
        decoder = Decoder()
        try:
            while piece := self._socket.recv(_PIECE_BYTES):
                for message in decoder.feed(piece):
                    self._take(message)
        except OSError:
            pass
        # The module is gone, perhaps without a chance to tidy up; a name that it has removed is no error.
        for name in self._blocks:
            remove_name(name)
        os._exit(0)

    def _take(self, message: Any) -> None:
        if isinstance(message, Cancel):
            self._cancelled.add(message.request)
            self.send(CancelTaken(message.request))
        elif isinstance(message, BlockMade):
            self._blocks.add(message.name)
        else:
            self.arrived.put(Arrived(message, time.monotonic()))
