"""Keeps a computing process running: starts it, stops what does not stop, and starts it anew when it has died."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sammix_core.errors import InputError
from SAMMixSlicerLib.worker.commands import (
    Cancel,
    CloseVolume,
    Command,
    Describe,
    Interpolate,
    LoadModel,
    PrepareSlices,
    ResetSlices,
    Run,
    SegmentSlice,
    SegmentSlices,
    ShowCam,
    VolumeCommand,
)
from SAMMixSlicerLib.worker.events import CancelTaken, Event, Finished, Outcome
from SAMMixSlicerLib.worker.lesion_commands import ClickLesion, FindLesions
from SAMMixSlicerLib.worker.outbox import Opening, Outbox
from SAMMixSlicerLib.worker.pending_cancel import PendingCancel
from SAMMixSlicerLib.worker.process import ChildProcess

_RECEIVE_SECONDS = 0.01
_COPY_SECONDS = 0.015
_MOST_DEATHS = 3

# What may be stopped: the rest is either quick, or what everything else needs.
_SLICES = (Run, SegmentSlice, SegmentSlices, ResetSlices, Interpolate, PrepareSlices, ShowCam)
_STOPPABLE = (*_SLICES, FindLesions, ClickLesion)
# What a new process does again by itself when the one before died over it.
_REPEATED = (Describe, LoadModel, Opening, CloseVolume)

_STARTED_ANEW = "It was started anew, and what was done until then is kept."
_DIED = f"The computing process ended unexpectedly, perhaps for lack of memory. {_STARTED_ANEW}"
_DEAF = f"The computing process did not stop when asked. {_STARTED_ANEW}"
_RESTARTED = "The computing process was started anew; what was done until then is kept."
_BROKEN = (
    "The computing process has ended three times in a row and was not started again; choose another device or model, "
    "or restart it."
)


@dataclass(frozen=True)
class Died:
    """A process is gone that should not be.

    Attributes:
        sentence: For people.
        detail: Its last words, for the log.
    """

    sentence: str
    detail: str


class Supervisor:
    """Sends commands and brings back events, exactly one `Finished` for each command.

    Nothing here waits and nothing here is a thread: everything is done in `work`.

    Args:
        start: Starts a process.
        resume: The commands that bring a new process to where the last one was, besides those given to it, which are
            on their way already.

    Attributes:
        fault: Why no process can be had, one sentence; empty when all is well.
    """

    def __init__(
        self, start: Callable[[], ChildProcess], resume: Callable[[Sequence[Command]], Sequence[Command]]
    ) -> None:
        self.fault = ""
        self._start = start
        self._resume = resume
        self._process: ChildProcess | None = None
        self._leaving: list[ChildProcess] = []
        self._outbox = Outbox()
        self._sent: dict[int, Command] = {}
        self._inbox: deque[Event | Died] = deque()
        self._cancels: dict[int, PendingCancel] = {}
        self._deaths = 0

    @property
    def isRunning(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def fileno(self) -> int:
        """The socket to watch for news; -1 where there is none."""
        return -1 if self._process is None else self._process.fileno()

    def commands(self) -> list[Command]:
        """The commands that have not ended yet, in order."""
        return [*self._sent.values(), *self._outbox]

    def submit(self, command: Command) -> None:
        """Takes a command, and starts a process for it if there is none."""
        if self.fault:
            self._finish(command, Outcome.FAILED, self.fault)
            return
        self._outbox.put(command)
        self.start()

    def start(self) -> None:
        """Starts a process if there is none."""
        if self._process is None and not self.fault:
            try:
                self._process = self._start()
            except OSError as error:
                self._give_up(f"The computing process could not be started ({error.strerror or error}).", str(error))

    def restart(self) -> None:
        """Starts a new process in place of the one there is; also after it was given up."""
        self.fault, self._deaths = "", 0
        self._replace(_RESTARTED)

    def stop(self, seconds: float) -> None:
        """Ends the process and forgets every command; waits for it to be gone, for so long at most."""
        self._dismiss()
        self._outbox.clear()
        self._sent.clear()
        self._inbox.clear()
        self._leaving = [process for process in self._leaving if not process.isGone(seconds)]

    def cancel(self, request: int) -> None:
        """Asks a command to stop; one that has ended or cannot be stopped is no error."""
        command = next((one for one in self.commands() if one.request == request), None)
        if self._process is None or not isinstance(command, _STOPPABLE) or request in self._cancels:
            return
        if self._outbox.takeBack(request) is not None:
            self._finish(command, Outcome.CANCELLED)
            return
        self._process.send(Cancel(request))
        if any(isinstance(one, LoadModel) for one in self._sent.values()):
            # It waits for the model, and a process that loads libraries is hard of hearing.
            del self._sent[request]
            self._finish(command, Outcome.CANCELLED)
        else:
            self._cancels[request] = PendingCancel(time.monotonic())

    def work(self) -> None:
        """Receives, sends, and looks after the process; never waits."""
        self._leaving = [process for process in self._leaving if not process.isGone()]
        process = self._process
        if process is None:
            return
        messages = process.receive(_RECEIVE_SECONDS)
        for message in messages:
            self._receive(message)
        if process.hasEnded:
            self._mourn(process)
        elif process.isConnected:
            self._push(process)
            if not messages:  # with news still coming in, the answer to a cancel may be among it
                self._look_at_cancels(time.monotonic())

    def next(self) -> Event | Died | None:
        """The next event to tell, or None."""
        return self._inbox.popleft() if self._inbox else None

    def _receive(self, message: Event) -> None:
        if isinstance(message, CancelTaken):
            cancel = self._cancels.get(message.request)
            if cancel is not None:
                cancel.isHeard = True
            if message.request not in self._sent:
                return  # it was told before
        if isinstance(message, Finished):
            self._outbox.release(message.request)
            self._cancels.pop(message.request, None)
            command = self._sent.pop(message.request, None)
            if command is None:
                return  # it was said to be cancelled before
            if message.outcome is Outcome.DONE and not isinstance(command, _REPEATED):
                self._deaths = 0
        self._inbox.append(message)

    def _push(self, process: ChildProcess) -> None:
        try:
            for command in self._outbox.push(process.send, _COPY_SECONDS):
                self._sent[command.request] = command
        except InputError as error:
            command = next(iter(self._outbox))
            self._outbox.takeBack(command.request)
            self._finish(command, Outcome.FAILED, str(error))

    def _look_at_cancels(self, now: float) -> None:
        for request, cancel in self._cancels.items():
            if cancel.needsAnswer(now) and request in self._sent:
                self._inbox.append(CancelTaken(request))
                self._finish(self._sent.pop(request), Outcome.CANCELLED)
        if any(cancel.isOverdue(now) for cancel in self._cancels.values()):
            self._inbox.append(Died(_DEAF, ""))
            self._replace(_DEAF)

    def _mourn(self, process: ChildProcess) -> None:
        detail = process.lastWords()
        self._deaths += 1
        if self._deaths >= _MOST_DEATHS:
            self._give_up(_BROKEN, detail)
        else:
            self._inbox.append(Died(_DIED, detail))
            self._replace(_DIED, detail)

    def _replace(self, sentence: str, detail: str = "") -> None:
        """Ends the process, says so of what it was doing, and starts a new one where it was."""
        cancelled = set(self._cancels)
        self._dismiss()
        unsent = list(self._outbox)
        again = [command for command in self._sent.values() if isinstance(command, _REPEATED)]
        for request, command in self._sent.items():
            if not isinstance(command, _REPEATED):
                outcome = Outcome.CANCELLED if request in cancelled else Outcome.LOST
                self._finish(command, outcome, sentence, detail)
        self._sent.clear()
        self._outbox.clear()
        for command in (*self._resume([*again, *unsent]), *again, *unsent):
            self._outbox.put(command)
        self.start()

    def _give_up(self, sentence: str, detail: str) -> None:
        self._dismiss()
        for command in self.commands():
            self._finish(command, Outcome.LOST, sentence, detail)
        self._sent.clear()
        self._outbox.clear()
        self.fault = sentence
        self._inbox.append(Died(sentence, detail))

    def _dismiss(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._leaving.append(self._process)
            self._process = None
        self._outbox.releaseAll()
        self._cancels.clear()

    def _finish(self, command: Command, outcome: Outcome, sentence: str = "", detail: str = "") -> None:
        volume_id = command.volume_id if isinstance(command, VolumeCommand) else None
        name = "OpenVolume" if isinstance(command, Opening) else type(command).__name__
        self._inbox.append(Finished(command.request, name, volume_id, outcome, sentence, detail))
