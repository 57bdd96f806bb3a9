"""The computing process as the module sees it: commands in, events out, nothing blocks."""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from sammix_core.embeddings.limits import EMBEDDING_LIMIT_BYTES
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker.commands import CloseVolume, Command, LoadModel, SetStates, VolumeCommand
from SAMMixSlicerLib.worker.descriptions import Hello, ModelLoaded
from SAMMixSlicerLib.worker.events import Event, Finished, Outcome, SliceChanged, VolumeEvent
from SAMMixSlicerLib.worker.outbox import PendingOpen
from SAMMixSlicerLib.worker.process import ChildProcess
from SAMMixSlicerLib.worker.supervisor import ProcessDied, Supervisor
from SAMMixSlicerLib.worker.volume_state import VolumeState

_CLOSE_SECONDS = 2.0
_EMIT_SECONDS = 0.02


class WorkerState(StrEnum):
    """What a worker can do at the moment."""

    STOPPED = "stopped"
    STARTING = "starting"
    NOT_INSTALLED = "not installed"  # packages are missing
    IDLE = "idle"  # no model yet
    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"  # the process cannot run


class Worker:
    """Segments in a process of its own; every method returns at once.

    Call `poll` from a timer: it receives events, emits their signals, and checks that the process is alive. A process
    that dies is restarted with the model and the volumes that it had. Methods that send a command return its number;
    each command ends with exactly one `Finished`, which is never emitted before the call that sent it has returned.

    Args:
        interpreter: A Python interpreter, or a launcher of one such as PythonSlicer.
        systemPath: The `sys.path` of the process; this process's own by default.
        embeddingLimitBytes: Limit for the embeddings of all volumes; those of the least recently used volume go first.

    Attributes:
        state: What the worker can do at the moment.
        sentence: Explanation of the state for the user; empty when all is well.
        hello: What the process said of itself; None before it has connected.
        stateChanged: Emits (WorkerState, sentence).
    """

    def __init__(
        self,
        interpreter: str | Path,
        systemPath: Sequence[str] | None = None,
        embeddingLimitBytes: int = EMBEDDING_LIMIT_BYTES,
    ) -> None:
        self.state = WorkerState.STOPPED
        self.sentence = ""
        self.hello: Hello | None = None
        self.stateChanged = Signal()
        path = list(sys.path if systemPath is None else systemPath)
        self._supervisor = Supervisor(
            lambda: ChildProcess(str(interpreter), path, embeddingLimitBytes), self._resumeCommands
        )
        self._signals: dict[type[Event], Signal] = {}
        self._volumes: dict[str, VolumeState] = {}
        self._lastRequest = 0
        self._resumed: set[int] = set()
        self._loading: dict[int, LoadModel] = {}
        self._model: LoadModel | None = None
        self._isLoaded = False
        self._loadFault = ""

    # The process

    def start(self) -> None:
        """Starts the process; the first command does so, too."""
        self._supervisor.start()
        atexit.register(self.close)
        self._updateState()

    def restart(self) -> None:
        """Starts a new process in place of the old one: after packages were installed, or when it is broken."""
        self._supervisor.restart()
        self._forgetProcess()
        self._updateState()

    def close(self) -> None:
        """Ends the process and forgets the volumes; emits no events of the commands in progress."""
        atexit.unregister(self.close)
        self._supervisor.stop(_CLOSE_SECONDS)
        self._volumes.clear()
        self._forgetProcess()
        self._updateState()

    def poll(self) -> None:
        """Receives and emits events for at most about 40 ms; the rest is left to the next call."""
        self._supervisor.work()
        deadline = time.perf_counter() + _EMIT_SECONDS
        while time.perf_counter() < deadline and (event := self._supervisor.next()) is not None:
            self._handle(event)
        self._updateState()

    def fileno(self) -> int:
        """Descriptor of a socket that is readable when there are events, for a notifier; it changes on a restart.

        -1 without a process.
        """
        return self._supervisor.fileno()

    @property
    def busy(self) -> bool:
        """Whether any command has not ended yet."""
        return bool(self._supervisor.commands())

    # Commands and events

    def on(self, kind: type[Event]) -> Signal:
        """The signal of a kind of event; it emits the event.

        `worker.on(Event)` emits every event, `worker.on(VolumeEvent)` those of volumes.
        """
        return self._signals.setdefault(kind, Signal())

    def submit(self, command: Command) -> int:
        """Sends a command; `SAMMixSlicerLib.worker.commands` lists them with the events that answer them.

        Open and close volumes, and set slices, through `openVolume`, `closeVolume` and `setStates`: they update
        `volume`, too.

        Returns:
            Number of the command, as in `Finished.request`.
        """
        command = self._numbered(command)
        if isinstance(command, LoadModel):
            self._loading[command.request] = command
        if not self._supervisor.isRunning:
            atexit.register(self.close)
        self._supervisor.submit(command)
        self._updateState()
        return command.request

    def cancel(self, request: int | None = None) -> None:
        """Stops a command, or all: `CancelAcknowledged` within a second, then `Finished`. What was done stays.

        A process that does not acknowledge is ended and restarted. Only commands that are `stoppable` stop.
        """
        for command in self._supervisor.commands():
            if request in (None, command.request):
                self._supervisor.cancel(command.request)

    # Volumes

    def volume(self, volumeId: str) -> VolumeState | None:
        """The module's copy of an open volume; None if it is not open."""
        return self._volumes.get(volumeId)

    def openVolume(
        self,
        volumeId: str,
        array: np.ndarray,
        ijkToRas: np.ndarray,
        spacingKnown: bool = True,
        states: Iterable[SliceState] = (),
        guidance: bytes | None = None,
        valuesAreHu: bool = False,
    ) -> int:
        """Opens a volume in the process: answered by `VolumeOpened`; a volume of the same ID is closed first.

        Args:
            volumeId: Any name that contains nothing about the patient, such as the MRML node's ID.
            array: (k, j, i) of real numbers. Kept by reference until `closeVolume`, for a new process; open the volume
                again when voxels have changed.
            ijkToRas: (4, 4), voxel indices to RAS mm.
            spacingKnown: Whether those are real millimetres.
            states: The slices as they were.
            guidance: The result of an earlier run, from `VolumeState.guidance`; that of another model is not used.
            valuesAreHu: Whether the user says that the values are Hounsfield units; they are not checked then.

        Returns:
            Number of the command.

        Raises:
            ValueError: The array is no volume, the matrix is singular, or a state does not belong to the volume.
        """
        if array.ndim != 3 or array.size == 0:
            raise ValueError(f"a volume needs a (k, j, i) array, not one of shape {array.shape}")
        volume = VolumeState(volumeId, array, ijkToRas, spacingKnown, states, guidance, valuesAreHu)
        self._cancelAll(volumeId)
        self._volumes[volumeId] = volume
        volume.openRequest = self.submit(PendingOpen(volumeId, volume))
        return volume.openRequest

    def closeVolume(self, volumeId: str) -> int:
        """Stops the commands of a volume, and drops it here and in the process.

        Returns:
            Number of the command.
        """
        self._cancelAll(volumeId)
        self._volumes.pop(volumeId, None)
        return self.submit(CloseVolume(volumeId))

    def setStates(self, volumeId: str, states: Iterable[SliceState]) -> int:
        """Sets slices of an open volume, computes nothing, and emits `SliceChanged` before it returns.

        Returns:
            Number of the command.

        Raises:
            ValueError: A state does not belong to this volume.
        """
        volume, states = self._volumes[volumeId], tuple(states)
        volume.check(states)
        request = self.submit(SetStates(volumeId, states))
        volume.setLocally(states, request)
        for state in states:
            self._emit(SliceChanged(volumeId, request, state, {}))
        return request

    def _numbered(self, command: Command) -> Command:
        self._lastRequest += 1
        return replace(command, request=self._lastRequest)

    def _cancelAll(self, volumeId: str) -> None:
        for command in self._supervisor.commands():
            if isinstance(command, VolumeCommand) and command.volume_id == volumeId:
                self._supervisor.cancel(command.request)

    def _resumeCommands(self, repeated: Sequence[Command]) -> list[Command]:
        commands: list[Command] = []
        if self._model is not None and not any(isinstance(command, LoadModel) for command in repeated):
            commands.append(self._model)
        opening = {command.volume_id for command in repeated if isinstance(command, PendingOpen)}
        commands += [PendingOpen(name, volume) for name, volume in self._volumes.items() if name not in opening]
        commands = [self._numbered(command) for command in commands]
        self._resumed.update(command.request for command in commands)
        return commands

    def _handle(self, event: Event) -> None:
        if isinstance(event, ProcessDied):
            self._forgetProcess()
            self._emit(event)
        elif isinstance(event, Hello):
            self.hello = event
            self._emit(event)
        elif isinstance(event, Finished):
            self._handleFinished(event)
        elif isinstance(event, VolumeEvent):
            volume = self._volumes.get(event.volume_id)
            # Events of closed volumes, and of an earlier volume with this ID, are dropped.
            if volume is not None and event.request >= volume.openRequest and volume.apply(event):
                self._emit(event)
        else:
            self._isLoaded = self._isLoaded or isinstance(event, ModelLoaded)
            self._emit(event)

    def _handleFinished(self, event: Finished) -> None:
        isDone = event.outcome is Outcome.DONE
        if event.command == LoadModel.__name__:
            command = self._loading.pop(event.request, None)
            self._model = command if isDone and command is not None else self._model
            self._loadFault = "" if isDone else event.sentence
        volume = self._volumes.get(event.volume_id or "")
        if volume is not None and not isDone:
            volume.forgetPending(event.request)
        if event.request in self._resumed:
            self._resumed.discard(event.request)
            if isDone:
                return
        self._updateState()
        self._emit(event)

    def _emit(self, event: Event) -> None:
        for kind in type(event).__mro__:
            if kind in self._signals:
                self._signals[kind].emit(event)

    def _forgetProcess(self) -> None:
        self.hello, self._isLoaded = None, False
        for volume in self._volumes.values():
            volume.forgetPending()

    def _updateState(self) -> None:
        state, sentence = self._currentState()
        if (state, sentence) != (self.state, self.sentence):
            self.state, self.sentence = state, sentence
            self.stateChanged.emit(state, sentence)

    def _currentState(self) -> tuple[WorkerState, str]:
        if self._supervisor.fault:
            return WorkerState.BROKEN, self._supervisor.fault
        if not self._supervisor.isRunning:
            return WorkerState.STOPPED, ""
        if self.hello is None:
            return WorkerState.STARTING, ""
        if self.hello.missing:
            missing = ", ".join(self.hello.missing)
            return WorkerState.NOT_INSTALLED, f"Packages needed for segmentation are not installed yet: {missing}."
        if any(isinstance(command, LoadModel) for command in self._supervisor.commands()):
            return WorkerState.LOADING, ""
        return (WorkerState.READY if self._isLoaded else WorkerState.IDLE), self._loadFault
