"""One computing process: started, listened to, and ended for certain.

See docs/decisions/worker-process.md for why it is a plain process and a socket and not `multiprocessing`.
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
_LAST_WORDS_BYTES = 4000


class ChildProcess:
    """The process and the line to it.

    Args:
        interpreter: A Python interpreter, or a launcher of one such as PythonSlicer.
        systemPath: The `sys.path` that it shall have.
        embeddingLimitBytes: What the embeddings of all its volumes may take.

    Attributes:
        isConnected: Whether it has called back.

    Raises:
        OSError: The interpreter cannot be started.
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
        settings = {
            "port": self._listener.getsockname()[1],
            "token": self._token.hex(),
            "path": [os.path.abspath(entry) for entry in systemPath],
            "embedding_limit_bytes": embeddingLimitBytes,
        }
        # What it prints goes into a file: a pipe that nobody reads would stop it one day.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        try:
            self._process = subprocess.Popen(
                # -P: the script's own folder is no place to import from.
                [interpreter, "-P", str(_MAIN)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                # In the environment, which only the user's own programs can read, unlike the command line.
                env={**PATIENT_THREADS, **os.environ, VARIABLE: json.dumps(settings)},
                **OWN_GROUP,
            )
        except OSError:
            self._listener.close()
            self._log.close()
            raise

    def fileno(self) -> int:
        """The socket to watch for news; -1 where there is none."""
        return self._channel.fileno() if self._channel is not None else self._listener.fileno()

    def send(self, message: Any) -> None:
        """Sends a message; only once it is connected."""
        assert self._channel is not None
        self._channel.send(message)

    def receive(self, seconds: float) -> list[Any]:
        """Takes calls and messages; returns what is there, taking no longer than about so long."""
        if self._channel is None:
            self._answer()
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
        """Whether nothing can come from it any more."""
        if self._channel is not None:
            return self._channel.isClosed
        return self._process.poll() is not None or time.monotonic() - self._started > _START_SECONDS

    def lastWords(self) -> str:
        """How it ended, and the end of what it printed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.05)  # a line breaks a moment before its process is gone
        code = self._process.returncode
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _LAST_WORDS_BYTES))
        words = self._log.read().decode("utf-8", "replace").strip()
        how = "it was still running" if code is None else f"exit code {code}"
        return f"The computing process ended ({how}).\n{words}".strip()

    def kill(self) -> None:
        """Ends it, without waiting until it is gone; see `isGone`."""
        if os.name == "posix":
            # Its own group: a launcher goes, and what it launched goes with it.
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
        """Whether the system has let it go; no zombie is left then. Waits for so long at most."""
        try:
            self._process.wait(seconds) if seconds else self._process.poll()
        except subprocess.TimeoutExpired:
            return False
        if self._process.returncode is None:
            return False
        self._log.close()
        return True

    def _answer(self) -> None:
        """Lets in who calls with the token, and nobody else."""
        with contextlib.suppress(BlockingIOError):
            while True:
                caller, _ = self._listener.accept()
                caller.setblocking(False)
                self._callers.append((caller, b""))
        waiting = []
        for caller, heard in self._callers:
            try:
                piece = caller.recv(TOKEN_BYTES - len(heard))
            except BlockingIOError:
                waiting.append((caller, heard))
                continue
            except OSError:
                piece = b""
            heard += piece
            if hmac.compare_digest(heard, self._token) and self._channel is None:
                self._channel = Channel(caller)
                self._listener.close()
            elif piece and len(heard) < TOKEN_BYTES:
                waiting.append((caller, heard))
            else:
                caller.close()
        self._callers = waiting


# torch's threads wait for each other by spinning. Where other programs want the cores too, edits take several times as
# long as with threads that sleep meanwhile: benchmarks/edit_latency.py, rows with "busy" programs.
PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}

# A group or console of its own, so that Ctrl-C in the terminal of the application does not reach it.
OWN_GROUP: dict[str, Any] = {"start_new_session": True}
if sys.platform == "win32":
    OWN_GROUP = {"creationflags": subprocess.CREATE_NO_WINDOW}
