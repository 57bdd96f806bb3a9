"""One computing process: starts it, exchanges messages with it, and ends it reliably.

See docs/decisions/worker-process.md for why this is a plain process with a socket instead of `multiprocessing`.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from SAMMixSlicerLib.worker.channel import Channel
from SAMMixSlicerLib.worker.descriptions import Hello

VARIABLE = "SAMMIX_WORKER"
TOKEN_BYTES = 32
_MAIN = Path(__file__).parent / "child" / "__main__.py"
_START_SECONDS = 120.0
_OUTPUT_BYTES = 4000


class ChildProcess:
    """The process and the connection to it.

    Args:
        interpreter: A Python interpreter, or a launcher of one such as PythonSlicer.
        systemPath: The `sys.path` of the process.
        embeddingLimitBytes: Limit for the embeddings of all its volumes.

    Attributes:
        isConnected: Whether it has connected.

    Raises:
        OSError: The interpreter cannot be started.
        ValueError: Python refuses to start it, such as for a variable of the environment that is too long for Windows.
    """

    def __init__(self, interpreter: str, systemPath: Sequence[str], embeddingLimitBytes: int) -> None:
        self.isConnected = False
        self._channel: Channel | None = None
        self._callers: list[tuple[socket.socket, bytes]] = []
        self._pid: int | None = None
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._started = time.monotonic()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4)
        self._listener.setblocking(False)
        address = {"port": self._listener.getsockname()[1], "token": self._token.hex()}
        self._startup = {
            "path": [os.path.abspath(entry) for entry in systemPath],
            "embedding_limit_bytes": embeddingLimitBytes,
        }
        # Its output goes into a file: a pipe that nobody reads would eventually block it.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        try:
            self._process = subprocess.Popen(
                # -P: do not import from the script's own folder.
                [interpreter, "-P", str(_MAIN)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                # In the environment: unlike the command line, only the user's own programs can read it. The search
                # path goes through the socket, as Windows limits a variable to 32,767 characters.
                env={**PASSIVE_WAIT, **os.environ, VARIABLE: json.dumps(address)},
                **PROCESS_GROUP,
            )
        except (OSError, ValueError):
            self._listener.close()
            self._log.close()
            raise

    def fileno(self) -> int:
        """Descriptor of the socket to watch for messages; -1 if there is none."""
        return self._channel.fileno() if self._channel is not None else self._listener.fileno()

    def send(self, message: Any) -> None:
        """Sends a message.

        Raises:
            RuntimeError: The process has not connected yet.
        """
        if self._channel is None:
            raise RuntimeError("the computing process has not connected yet")
        self._channel.send(message)

    def receive(self, seconds: float) -> list[Any]:
        """Accepts the connection, and returns the messages that have arrived, within about `seconds`."""
        if self._channel is None:
            self._acceptConnection()
        if self._channel is None:
            return []
        self._channel.flush()
        messages = self._channel.receive(seconds)
        for message in messages:
            if isinstance(message, Hello):
                self.isConnected = True
                self._pid = message.pid
        return messages

    @property
    def hasEnded(self) -> bool:
        """Whether no more messages can arrive."""
        if self._channel is not None:
            return self._channel.isClosed
        return self._process.poll() is not None or time.monotonic() - self._started > _START_SECONDS

    def lastOutput(self) -> str:
        """How it ended, and the last lines of its output."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.05)  # the connection breaks a moment before the process is gone
        code = self._process.returncode
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _OUTPUT_BYTES))
        output = self._log.read().decode("utf-8", "replace").strip()
        how = "it was still running" if code is None else f"exit code {code}"
        return f"The computing process ended ({how}).\n{output}".strip()

    def kill(self) -> None:
        """Ends it without waiting until it is gone; see `isGone`."""
        if os.name == "posix":
            # The whole group: a launcher and the interpreter it launched.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            if self._pid not in (None, self._process.pid) and self._channel is not None and not self._channel.isClosed:
                with contextlib.suppress(OSError):
                    os.kill(self._pid, signal.SIGTERM)  # TerminateProcess, as Windows has no signals
            self._process.kill()
        if self._channel is not None:
            self._channel.close()
        for caller, _ in self._callers:
            caller.close()
        self._listener.close()

    def isGone(self, seconds: float = 0.0) -> bool:
        """Waits up to `seconds`; whether the process is gone, and no zombie is left."""
        try:
            self._process.wait(seconds) if seconds else self._process.poll()
        except subprocess.TimeoutExpired:
            return False
        if self._process.returncode is None:
            return False
        self._log.close()
        return True

    def _acceptConnection(self) -> None:
        """Accepts the connection that sends the token, and no other."""
        with contextlib.suppress(BlockingIOError):
            while True:
                caller, _ = self._listener.accept()
                caller.setblocking(False)
                self._callers.append((caller, b""))
        waiting = []
        for caller, received in self._callers:
            try:
                chunk = caller.recv(TOKEN_BYTES - len(received))
            except BlockingIOError:
                waiting.append((caller, received))
                continue
            except OSError:
                chunk = b""
            received += chunk
            if hmac.compare_digest(received, self._token) and self._channel is None:
                self._channel = Channel(caller)
                self._channel.sendStartup(self._startup)
                self._listener.close()
            elif chunk and len(received) < TOKEN_BYTES:
                waiting.append((caller, received))
            else:
                caller.close()
        self._callers = waiting


# torch's threads wait for each other by spinning. When other programs use the cores, too, edits take several times as
# long as with threads that sleep: benchmarks/edit_latency.py, rows with "busy" programs.
PASSIVE_WAIT = {"OMP_WAIT_POLICY": "PASSIVE"}

# A process group or console of its own, so that Ctrl-C in the application's terminal does not reach it.
PROCESS_GROUP: dict[str, Any] = {"start_new_session": True}
if sys.platform == "win32":
    PROCESS_GROUP = {"creationflags": subprocess.CREATE_NO_WINDOW}
