"""The main loop of the computing process: one command after the other, quick ones between the slices of long ones."""

from __future__ import annotations

import faulthandler
import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Iterable

import sammix_core
from sammix_core.errors import Cancelled, SammixError
from SAMMixSlicerLib.worker.child import capabilities
from SAMMixSlicerLib.worker.child.connection import Connection, ReceivedCommand
from SAMMixSlicerLib.worker.child.dispatcher import Dispatcher
from SAMMixSlicerLib.worker.child.job import Job
from SAMMixSlicerLib.worker.commands import Command, VolumeCommand
from SAMMixSlicerLib.worker.descriptions import Hello
from SAMMixSlicerLib.worker.events import Finished, Outcome


def serve(module: socket.socket, embedding_limit_bytes: int) -> None:
    """Handles the module's commands until it disconnects.

    Args:
        module: The connection to the module, which has accepted this process.
        embedding_limit_bytes: Limit for the embeddings of all volumes.
    """
    faulthandler.enable()
    connection = Connection(module)
    connection.send(
        Hello(os.getpid(), capabilities.missing_packages(), sammix_core.__version__, capabilities.core_path())
    )
    Server(connection, embedding_limit_bytes).run()


def next_quick(waiting: Iterable[Command], running_on: str) -> Command | None:
    """The first waiting command that may be handled between two slices of the running one.

    Commands on one volume keep their order; a command for all volumes (another model) holds back all commands after it.

    Args:
        waiting: Commands in order of arrival.
        running_on: Volume of the running command.
    """
    blocked: set[str] = set()
    for command in waiting:
        if not isinstance(command, VolumeCommand):
            return None
        if command.volume_id not in blocked and command.may_interrupt(running_on):
            return command
        blocked.add(command.volume_id)
    return None


class Server:
    """Handles commands in order.

    Args:
        connection: To the module.
        embedding_limit_bytes: Limit for the embeddings of all volumes.
    """

    def __init__(self, connection: Connection, embedding_limit_bytes: int) -> None:
        self._connection = connection
        self._dispatcher = Dispatcher(connection.send, embedding_limit_bytes)
        self._waiting: deque[ReceivedCommand] = deque()

    def run(self) -> None:
        """Handles commands until the process ends."""
        while True:
            if not self._waiting:
                self._waiting.append(self._connection.received.get())
            self._handle(self._waiting.popleft(), interruptible=True)

    def _handle(self, received: ReceivedCommand, interruptible: bool) -> None:
        command = received.command
        started = time.monotonic()
        job = Job(command.request, received.received_at)
        volume_id = command.volume_id if isinstance(command, VolumeCommand) else None

        def is_cancelled() -> bool:
            if interruptible and job.may_be_interrupted and volume_id is not None:
                self._handle_quick_commands(volume_id)
            return self._connection.is_cancelled(command.request)

        job.is_cancelled, job.others_wait = is_cancelled, self._others_wait
        outcome, sentence, detail = Outcome.DONE, "", ""
        try:
            if self._connection.is_cancelled(command.request):
                raise Cancelled
            sentence = self._dispatcher.dispatch(command, job)
        except Cancelled:
            outcome = Outcome.CANCELLED
        except SammixError as error:
            outcome, sentence = Outcome.FAILED, str(error)
        except Exception as error:  # the process continues with the next command, whatever went wrong in this one
            outcome, sentence, detail = Outcome.FAILED, _sentence(command, error), traceback.format_exc()
        self._connection.send(
            Finished(
                request=command.request,
                command=command.name,
                volume_id=volume_id,
                outcome=outcome,
                sentence=sentence,
                detail=detail,
                seconds=time.monotonic() - started,
                changed=tuple(sorted(job.changed)),
                protected=tuple(job.protected),
            )
        )

    def _others_wait(self) -> bool:
        while not self._connection.received.empty():
            self._waiting.append(self._connection.received.get())
        return bool(self._waiting)

    def _handle_quick_commands(self, running_on: str) -> None:
        self._others_wait()
        while (command := next_quick([waiting.command for waiting in self._waiting], running_on)) is not None:
            received = next(waiting for waiting in self._waiting if waiting.command is command)
            self._waiting.remove(received)
            self._handle(received, interruptible=False)


def _sentence(command: Command, error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "There is too little memory for this. Close other programs, or choose the CPU as the device."
    return f"Something unexpected went wrong ({command.name}: {type(error).__name__}); the log has the details."
