"""The loop of the computing process: one command after the other, edits of single slices in between."""

from __future__ import annotations

import faulthandler
import os
import time
import traceback
from collections import deque

import sammix_core
from sammix_core.errors import Cancelled, SammixError
from SAMMixSlicerLib.worker.child import describe
from SAMMixSlicerLib.worker.child.handlers import Handlers
from SAMMixSlicerLib.worker.child.job import Job
from SAMMixSlicerLib.worker.child.line import Arrived, Line
from SAMMixSlicerLib.worker.child.queue_order import next_quick
from SAMMixSlicerLib.worker.commands import Command, VolumeCommand
from SAMMixSlicerLib.worker.descriptions import Hello
from SAMMixSlicerLib.worker.events import Finished, Outcome


def serve(port: int, token: bytes, embedding_limit_bytes: int) -> None:
    """Calls the module and does what it says until it hangs up.

    Args:
        port: Of the module on this machine.
        token: Shows the module who calls.
        embedding_limit_bytes: What the embeddings of all volumes may take.
    """
    faulthandler.enable()
    line = Line(port, token)
    line.send(Hello(os.getpid(), describe.missing(), sammix_core.__version__, describe.core_path()))
    Server(line, embedding_limit_bytes).run()


class Server:
    """Does commands in their order.

    Args:
        line: To the module.
        embedding_limit_bytes: What the embeddings of all volumes may take.
    """

    def __init__(self, line: Line, embedding_limit_bytes: int) -> None:
        self._line = line
        self._handlers = Handlers(line.send, embedding_limit_bytes)
        self._waiting: deque[Arrived] = deque()

    def run(self) -> None:
        """Works until the process ends."""
        while True:
            if not self._waiting:
                self._waiting.append(self._line.arrived.get())
            arrived = self._waiting.popleft()
            self._do(arrived, interruptible=True)

    def _do(self, arrived: Arrived, interruptible: bool) -> None:
        command = arrived.command
        started = time.monotonic()
        job = Job(command.request, arrived.at)

        def is_cancelled() -> bool:
            if interruptible and job.may_be_interrupted and isinstance(command, VolumeCommand):
                self._do_quick_ones(command.volume_id)
            return self._line.is_cancelled(command.request)

        job.is_cancelled, job.others_wait = is_cancelled, self._others_wait
        outcome, sentence, detail = Outcome.DONE, "", ""
        try:
            if self._line.is_cancelled(command.request):
                raise Cancelled
            sentence = self._handlers.do(command, job)
        except Cancelled:
            outcome = Outcome.CANCELLED
        except SammixError as error:
            outcome, sentence = Outcome.FAILED, str(error)
        except Exception as error:  # the process goes on with the next command, whatever went wrong in this one
            outcome, sentence, detail = Outcome.FAILED, _sentence(command, error), traceback.format_exc()
        self._line.send(
            Finished(
                command.request,
                type(command).__name__,
                command.volume_id if isinstance(command, VolumeCommand) else None,
                outcome,
                sentence,
                detail,
                time.monotonic() - started,
                tuple(sorted(job.changed)),
                tuple(job.protected),
            )
        )

    def _others_wait(self) -> bool:
        while not self._line.arrived.empty():
            self._waiting.append(self._line.arrived.get())
        return bool(self._waiting)

    def _do_quick_ones(self, running_on: str) -> None:
        self._others_wait()
        while (command := next_quick([one.command for one in self._waiting], running_on)) is not None:
            arrived = next(one for one in self._waiting if one.command is command)
            self._waiting.remove(arrived)
            self._do(arrived, interruptible=False)


def _sentence(command: Command, error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "There is too little memory for this; close other programs, or choose the CPU as the device."
    return (
        f"Something unexpected went wrong ({type(command).__name__}: {type(error).__name__}); the log has the details."
    )
