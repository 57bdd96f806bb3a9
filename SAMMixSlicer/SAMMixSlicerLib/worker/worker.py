"""The computing process as the module sees it: commands in, signals out, nothing waits."""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import descriptions as d
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker.held_volume import HeldVolume
from SAMMixSlicerLib.worker.outbox import Opening
from SAMMixSlicerLib.worker.process import ChildProcess
from SAMMixSlicerLib.worker.supervisor import Died, Supervisor
from SAMMixSlicerLib.worker.worker_commands import WorkerCommands
from SAMMixSlicerLib.worker.worker_signals import WorkerSignals
from SAMMixSlicerLib.worker.worker_state import WorkerState

_EMBEDDING_LIMIT_BYTES = 3 * 1024**3
_CLOSE_SECONDS = 2.0
_TELL_SECONDS = 0.02


class Worker(WorkerCommands, WorkerSignals):
    """Segments in a process of its own; everything here returns at once.

    Call `poll` from a timer: it receives what has come, tells the signals, and looks whether the process is alive. A
    process that dies is started anew with the model and the volumes that it had. Commands return their numbers; each
    ends with exactly one `finished`, which is never told before the call that sent the command has returned.

    Args:
        interpreter: A Python interpreter, or a launcher of one such as PythonSlicer.
        systemPath: The `sys.path` that it shall have; that of this process where none is given.
        embeddingLimitBytes: What the embeddings of all volumes may take; those of the longest unused volume go first.

    Attributes:
        state: What can be done now.
        sentence: What there is to say of that; empty when all is well.
        hello: What the process said of itself; None before it did.
    """

    def __init__(
        self,
        interpreter: str | Path,
        systemPath: Sequence[str] | None = None,
        embeddingLimitBytes: int = _EMBEDDING_LIMIT_BYTES,
    ) -> None:
        super().__init__()
        self.state = WorkerState.STOPPED
        self.sentence = ""
        self.hello: d.Hello | None = None
        path = list(sys.path if systemPath is None else systemPath)
        self._supervisor = Supervisor(lambda: ChildProcess(str(interpreter), path, embeddingLimitBytes), self._toResume)
        self._volumes: dict[str, HeldVolume] = {}
        self._requests = 0
        self._resumed: set[int] = set()
        self._loading: dict[int, c.LoadModel] = {}
        self._model: c.LoadModel | None = None
        self._isLoaded = False
        self._loadFault = ""

    # Life

    def start(self) -> None:
        """Starts the process; the first command does so too."""
        self._supervisor.start()
        atexit.register(self.close)
        self._lookAtState()

    def restart(self) -> None:
        """Starts a new process in place of the one there is: after packages were installed, or it was given up."""
        self._supervisor.restart()
        self._forgetProcess()
        self._lookAtState()

    def close(self) -> None:
        """Ends the process and forgets the volumes; nothing is told of what was going on."""
        atexit.unregister(self.close)
        self._supervisor.stop(_CLOSE_SECONDS)
        self._volumes.clear()
        self._forgetProcess()
        self._lookAtState()

    def poll(self) -> None:
        """Receives, tells and looks after the process, for some 40 ms at most; what is left is told by the next one."""
        self._supervisor.work()
        until = time.perf_counter() + _TELL_SECONDS
        while time.perf_counter() < until and (event := self._supervisor.next()) is not None:
            self._take(event)
        self._lookAtState()

    def fileno(self) -> int:
        """A socket that can be read when there is news, for a notifier; -1 without a process, and it changes."""
        return self._supervisor.fileno()

    @property
    def busy(self) -> bool:
        """Whether a command has not ended yet."""
        return bool(self._supervisor.commands())

    def volume(self, volumeId: str) -> HeldVolume | None:
        """What is known of an open volume; None where it is not open."""
        return self._volumes.get(volumeId)

    def loadModel(self, model: str, device: str = "auto", baseWeights: str | None = None) -> int:
        """Loads a model: `modelLoaded`. What a person made stays; masks stay until slices are segmented again."""
        command = c.LoadModel(self._next(), str(model), device, None if baseWeights is None else str(baseWeights))
        self._loading[command.request] = command
        return self._submit(command)

    def openVolume(
        self,
        volumeId: str,
        array: np.ndarray,
        ijkToRas: np.ndarray,
        spacingKnown: bool = True,
        states: Iterable[SliceState] = (),
        guidance: bytes | None = None,
    ) -> int:
        """Gives a volume to the process: `volumeOpened`; one of the same ID is closed first.

        Args:
            volumeId: Any name that says nothing of the patient, such as the MRML node's ID.
            array: (k, j, i) of real numbers. Kept by reference until `closeVolume`, for a new process; open the volume
                again when voxels have changed.
            ijkToRas: (4, 4), voxel indices to RAS mm.
            spacingKnown: Whether those are real millimetres.
            states: Slices as they were left.
            guidance: What an earlier run found, as `HeldVolume.guidance` holds it; that of another model is not used.

        Raises:
            ValueError: The array is no volume, the matrix is singular, or a state is not of the volume.
        """
        if array.ndim != 3 or array.size == 0:
            raise ValueError(f"a volume needs a (k, j, i) array, not one of shape {array.shape}")
        held = HeldVolume(volumeId, array, ijkToRas, spacingKnown, states, guidance)
        self._cancelAll(volumeId)
        held.openedBy = self._next()
        self._volumes[volumeId] = held
        return self._submit(Opening(held.openedBy, volumeId, held))

    def closeVolume(self, volumeId: str) -> int:
        """Takes a volume from the process and forgets it; what goes on with it is stopped."""
        self._cancelAll(volumeId)
        self._volumes.pop(volumeId, None)
        return self._submit(c.CloseVolume(self._next(), volumeId))

    def cancel(self, request: int | None = None) -> None:
        """Stops a command, or all: `cancelTaken` within a second, then `finished`. What was done stays.

        A process that does not even hear it is ended and started anew. Models and volumes being loaded, and slices
        being set, cannot be stopped: they are quick, or everything else needs them.
        """
        for command in self._supervisor.commands():
            if request in (None, command.request):
                self._supervisor.cancel(command.request)

    def _next(self) -> int:
        self._requests += 1
        return self._requests

    def _submit(self, command: c.Command) -> int:
        if not self._supervisor.isRunning:
            atexit.register(self.close)
        self._supervisor.submit(command)
        self._lookAtState()
        return command.request

    def _cancelAll(self, volumeId: str) -> None:
        for command in self._supervisor.commands():
            if isinstance(command, c.VolumeCommand) and command.volume_id == volumeId:
                self._supervisor.cancel(command.request)

    def _toResume(self, onTheirWay: Sequence[c.Command]) -> list[c.Command]:
        commands: list[c.Command] = []
        if self._model is not None and not any(isinstance(one, c.LoadModel) for one in onTheirWay):
            model = self._model
            commands.append(c.LoadModel(self._next(), model.model, model.device, model.base_weights))
        opening = {one.volume_id for one in onTheirWay if isinstance(one, Opening)}
        for volumeId, held in self._volumes.items():
            if volumeId not in opening:
                commands.append(Opening(self._next(), volumeId, held))
        self._resumed.update(command.request for command in commands)
        return commands

    def _take(self, event: e.Event | Died) -> None:
        if isinstance(event, Died):
            self._forgetProcess()
            self.died.emit(event.sentence, event.detail)
        elif isinstance(event, d.Hello):
            self.hello = event
        elif isinstance(event, e.Finished):
            self._end(event)
        elif isinstance(event, e.VolumeEvent):
            held = self._volumes.get(event.volume_id)
            # Nothing is told of volumes that were closed, nor of one that had this ID before.
            if held is not None and event.request >= held.openedBy and held.take(event):
                self._tell(event)
        else:
            self._isLoaded = self._isLoaded or isinstance(event, d.ModelLoaded)
            self._tell(event)

    def _end(self, event: e.Finished) -> None:
        isDone = event.outcome is e.Outcome.DONE
        if event.command == "LoadModel":
            command = self._loading.pop(event.request, None)
            self._model = command if isDone and command is not None else self._model
            self._loadFault = "" if isDone else event.sentence
        held = self._volumes.get(event.volume_id or "")
        if held is not None and not isDone:
            held.forgetWaiting(event.request)
        if event.request in self._resumed:
            self._resumed.discard(event.request)
            if isDone:
                return
        self._lookAtState()
        self._tell(event)

    def _forgetProcess(self) -> None:
        self.hello, self._isLoaded = None, False
        for held in self._volumes.values():
            held.forgetWaiting()

    def _lookAtState(self) -> None:
        state, sentence = self._stateNow()
        if (state, sentence) != (self.state, self.sentence):
            self.state, self.sentence = state, sentence
            self.stateChanged.emit(state, sentence)

    def _stateNow(self) -> tuple[WorkerState, str]:
        if self._supervisor.fault:
            return WorkerState.BROKEN, self._supervisor.fault
        if not self._supervisor.isRunning:
            return WorkerState.STOPPED, ""
        if self.hello is None:
            return WorkerState.STARTING, ""
        if self.hello.missing:
            missing = ", ".join(self.hello.missing)
            return WorkerState.NOT_INSTALLED, f"Packages that segmentation needs are not installed yet: {missing}."
        if any(isinstance(command, c.LoadModel) for command in self._supervisor.commands()):
            return WorkerState.LOADING, ""
        return (WorkerState.READY if self._isLoaded else WorkerState.IDLE), self._loadFault
