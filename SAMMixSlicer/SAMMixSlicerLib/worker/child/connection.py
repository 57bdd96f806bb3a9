"""The process's end of the connection: a thread listens, so that a cancel is received while torch computes."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from typing import Any, NamedTuple

from SAMMixSlicerLib.worker.commands import BlockCreated, Cancel, Command
from SAMMixSlicerLib.worker.events import CancelAcknowledged, Event
from SAMMixSlicerLib.worker.framing import Decoder, encode
from SAMMixSlicerLib.worker.shared_array import remove_name

_CHUNK_BYTES = 1024**2


class ReceivedCommand(NamedTuple):
    """A command and the time of its arrival, in seconds of `time.monotonic`."""

    command: Command
    received_at: float


class Connection:
    """Receives commands in order, and cancels ahead of them; ends the process when the module disconnects.

    Args:
        connection: To the module, which has accepted this process.

    Attributes:
        received: Commands that wait to be handled.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.received: queue.SimpleQueue[ReceivedCommand] = queue.SimpleQueue()
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send_lock = threading.Lock()
        self._cancelled: set[int] = set()
        self._blocks: set[str] = set()
        threading.Thread(target=self._listen, name="connection", daemon=True).start()

    def send(self, event: Event) -> None:
        """Sends an event to the module."""
        content = encode(event)
        with self._send_lock:
            self._socket.sendall(content)

    def is_cancelled(self, request: int) -> bool:
        """Whether the module has cancelled a command."""
        return request in self._cancelled

    def _listen(self) -> None:
        decoder = Decoder()
        try:
            while chunk := self._socket.recv(_CHUNK_BYTES):
                for message in decoder.feed(chunk):
                    self._handle(message)
        except OSError:
            pass
        # The module is gone, perhaps without a chance to clean up; a name that it has removed is no error.
        for name in self._blocks:
            remove_name(name)
        os._exit(0)

    def _handle(self, message: Any) -> None:
        if isinstance(message, Cancel):
            self._cancelled.add(message.request)
            self.send(CancelAcknowledged(message.request))
        elif isinstance(message, BlockCreated):
            self._blocks.add(message.name)
        else:
            self.received.put(ReceivedCommand(message, time.monotonic()))
