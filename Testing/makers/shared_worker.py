"""One computing process for the panels of many tests: loading a model takes longer than most tests."""

from __future__ import annotations

import sys

from SAMMixSlicerLib.worker import ModelLoaded, Worker
from SAMMixSlicerLib.worker.commands import Command, Describe, LoadModel

_shared: SharedWorker | None = None


class SharedWorker(Worker):
    """A worker that stays when a panel closes, and does not load a model twice."""

    def __init__(self) -> None:
        super().__init__(sys.executable)
        self._requestedModel: LoadModel | None = None
        self._loadedEvent: ModelLoaded | None = None
        self._isEventPending = False
        self.on(ModelLoaded).connect(self._onLoaded)

    def submit(self, command: Command) -> int:
        """As `Worker`, but loads no model that is loaded already."""
        if isinstance(command, LoadModel):
            if command == self._requestedModel and self._loadedEvent is not None:
                self._isEventPending = True
                return super().submit(Describe())
            self._requestedModel, self._loadedEvent = command, None
        return super().submit(command)

    def poll(self) -> None:
        """As `Worker`."""
        if self._isEventPending and self._loadedEvent is not None:
            self._isEventPending = False
            self.on(ModelLoaded).emit(self._loadedEvent)
        super().poll()

    def close(self) -> None:
        """Cancels all commands and forgets volumes and listeners; the process stays."""
        self.cancel()
        for volumeId in list(self._volumes):
            self.closeVolume(volumeId)
        for signal in (*self._signals.values(), self.stateChanged):
            signal.disconnect()
        self.on(ModelLoaded).connect(self._onLoaded)

    def end(self) -> None:
        """Ends the process."""
        super().close()

    def _onLoaded(self, event: ModelLoaded) -> None:
        self._loadedEvent = event


def shared_worker() -> SharedWorker:
    """Returns the shared worker; it ends with the tests."""
    global _shared
    if _shared is None:
        _shared = SharedWorker()
    return _shared
