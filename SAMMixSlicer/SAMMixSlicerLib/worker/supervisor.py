"""Keeps a computing process running: starts it, ends it if it does not stop, and restarts it after it has died."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sammix_core.errors import InputError
from SAMMixSlicerLib.worker.commands import Cancel, Command, LoadModel, VolumeCommand
from SAMMixSlicerLib.worker.events import CancelAcknowledged, Event, Finished, Outcome
from SAMMixSlicerLib.worker.outbox import Outbox
from SAMMixSlicerLib.worker.process import ChildProcess

_RECEIVE_SECONDS = 0.01
_COPY_SECONDS = 0.015
_MAX_DEATHS = 3

# The user has an answer to a cancel after this time, whatever the process does.
CANCEL_SECONDS = 1.0
# A process is ended if it has not acknowledged a cancel, or has acknowledged it and not stopped, after this time.
_ACKNOWLEDGE_SECONDS = 5.0
_STOP_SECONDS = 15.0

_KEPT = "It was restarted; finished work is kept."
_DIED = f"The computing process ended unexpectedly; the computer may be short of memory. {_KEPT}"
_UNRESPONSIVE = f"The computing process did not stop when asked. {_KEPT}"
_RESTARTED = "The computing process was restarted; finished work is kept."
_BROKEN = (
    "The computing process ended three times in a row and was not restarted. Restart Slicer; if it happens again, "
    "choose another device or model."
)


@dataclass
class PendingCancel:
    """A command that was asked to stop.

    Attributes:
        requestedAt: Time of the request, in seconds of `time.monotonic`.
        isAcknowledged: Whether the process has acknowledged it.
    """

    requestedAt: float
    isAcknowledged: bool = False

    def needsAnswer(self, now: float) -> bool:
        """Whether the user has waited long enough and gets an answer without the process."""
        return not self.isAcknowledged and now - self.requestedAt > CANCEL_SECONDS

    def isOverdue(self, now: float) -> bool:
        """Whether the process has to be ended."""
        return now - self.requestedAt > (_STOP_SECONDS if self.isAcknowledged else _ACKNOWLEDGE_SECONDS)


@dataclass(frozen=True)
class ProcessDied(Event):
    """A process ended although nobody ended it.

    Attributes:
        sentence: For the user.
        detail: Its last output, for the log.
    """

    sentence: str
    detail: str


class Supervisor:
    """Sends commands and returns events, with exactly one `Finished` for each command.

    Nothing here blocks and nothing here is a thread: everything happens in `work`.

    Args:
        start: Starts a process.
        resume: Returns the commands that bring a new process to the state of the previous one. Its argument holds the
            commands that are sent again anyway.

    Attributes:
        fault: Why no process can run, in one sentence; empty when all is well.
    """

    def __init__(
        self, start: Callable[[], ChildProcess], resume: Callable[[Sequence[Command]], Sequence[Command]]
    ) -> None:
        self.fault = ""
        self._start = start
        self._resume = resume
        self._process: ChildProcess | None = None
        self._endingProcesses: list[ChildProcess] = []
        self._outbox = Outbox()
        self._sent: dict[int, Command] = {}
        self._inbox: deque[Event] = deque()
        self._cancels: dict[int, PendingCancel] = {}
        self._deaths = 0

    @property
    def isRunning(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def fileno(self) -> int:
        """Descriptor of the socket to watch for events; -1 if there is none."""
        return -1 if self._process is None else self._process.fileno()

    def commands(self) -> list[Command]:
        """The commands that have not ended yet, in order."""
        return [*self._sent.values(), *self._outbox]

    def submit(self, command: Command) -> None:
        """Queues a command, and starts a process for it if there is none."""
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
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                self._fail(f"The computing process could not be started ({reason}).", str(error))

    def restart(self) -> None:
        """Replaces the process with a new one, also after `fault` was set."""
        self.fault, self._deaths = "", 0
        self._replace(_RESTARTED)

    def stop(self, seconds: float) -> None:
        """Ends the process, drops every command, and waits up to `seconds` for the process to be gone."""
        self._dismiss()
        self._outbox.clear()
        self._sent.clear()
        self._inbox.clear()
        self._endingProcesses = [process for process in self._endingProcesses if not process.isGone(seconds)]

    def cancel(self, request: int) -> None:
        """Asks a command to stop; a command that has ended or is not stoppable is ignored."""
        command = next((command for command in self.commands() if command.request == request), None)
        if self._process is None or command is None or not command.stoppable or request in self._cancels:
            return
        if self._outbox.withdraw(request) is not None:
            self._finish(command, Outcome.CANCELLED)
            return
        self._process.send(Cancel(request))
        if any(isinstance(sent, LoadModel) for sent in self._sent.values()):
            # It waits for the model, and a process that is importing libraries acknowledges late.
            del self._sent[request]
            self._finish(command, Outcome.CANCELLED)
        else:
            self._cancels[request] = PendingCancel(time.monotonic())

    def work(self) -> None:
        """Receives, sends, and checks on the process; never blocks."""
        self._endingProcesses = [process for process in self._endingProcesses if not process.isGone()]
        process = self._process
        if process is None:
            return
        messages = process.receive(_RECEIVE_SECONDS)
        for message in messages:
            self._receive(message)
        if process.hasEnded:
            self._handleDeath(process)
        elif process.isConnected:
            self._push(process)
            if not messages:  # while messages still come in, the answer to a cancel may be among them
                self._checkCancels(time.monotonic())

    def next(self) -> Event | None:
        """Removes and returns the next event, or None."""
        return self._inbox.popleft() if self._inbox else None

    def _receive(self, message: Event) -> None:
        if isinstance(message, CancelAcknowledged):
            cancel = self._cancels.get(message.request)
            if cancel is not None:
                cancel.isAcknowledged = True
            if message.request not in self._sent:
                return  # reported before
        if isinstance(message, Finished):
            self._outbox.release(message.request)
            self._cancels.pop(message.request, None)
            command = self._sent.pop(message.request, None)
            if command is None:
                return  # reported as cancelled before
            if message.outcome is Outcome.DONE and not command.repeatable:
                self._deaths = 0
        self._inbox.append(message)

    def _push(self, process: ChildProcess) -> None:
        try:
            for command in self._outbox.push(process.send, _COPY_SECONDS):
                self._sent[command.request] = command
        except InputError as error:
            command = next(iter(self._outbox))
            self._outbox.withdraw(command.request)
            self._finish(command, Outcome.FAILED, str(error))

    def _checkCancels(self, now: float) -> None:
        for request, cancel in self._cancels.items():
            if cancel.needsAnswer(now) and request in self._sent:
                self._inbox.append(CancelAcknowledged(request))
                self._finish(self._sent.pop(request), Outcome.CANCELLED)
        if any(cancel.isOverdue(now) for cancel in self._cancels.values()):
            self._inbox.append(ProcessDied(_UNRESPONSIVE, ""))
            self._replace(_UNRESPONSIVE)

    def _handleDeath(self, process: ChildProcess) -> None:
        detail = process.lastOutput()
        self._deaths += 1
        if self._deaths >= _MAX_DEATHS:
            self._fail(_BROKEN, detail)
        else:
            self._inbox.append(ProcessDied(_DIED, detail))
            self._replace(_DIED, detail)

    def _replace(self, sentence: str, detail: str = "") -> None:
        """Ends the process, reports what it was doing, and starts a new one in the same state."""
        cancelled = set(self._cancels)
        self._dismiss()
        unsent = list(self._outbox)
        repeated = [command for command in self._sent.values() if command.repeatable]
        for request, command in self._sent.items():
            if not command.repeatable:
                outcome = Outcome.CANCELLED if request in cancelled else Outcome.LOST
                self._finish(command, outcome, sentence, detail)
        self._sent.clear()
        self._outbox.clear()
        for command in (*self._resume([*repeated, *unsent]), *repeated, *unsent):
            self._outbox.put(command)
        self.start()

    def _fail(self, sentence: str, detail: str) -> None:
        self._dismiss()
        for command in self.commands():
            self._finish(command, Outcome.LOST, sentence, detail)
        self._sent.clear()
        self._outbox.clear()
        self.fault = sentence
        self._inbox.append(ProcessDied(sentence, detail))

    def _dismiss(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._endingProcesses.append(self._process)
            self._process = None
        self._outbox.releaseAll()
        self._cancels.clear()

    def _finish(self, command: Command, outcome: Outcome, sentence: str = "", detail: str = "") -> None:
        volumeId = command.volume_id if isinstance(command, VolumeCommand) else None
        self._inbox.append(Finished(command.request, command.name, volumeId, outcome, sentence, detail))
