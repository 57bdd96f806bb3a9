"""One computing process for the panels of many tests: loading a model takes longer than most of what is tested."""

from __future__ import annotations

import sys
from typing import Any

from SAMMixSlicerLib.worker import ModelLoaded, Worker

_shared: SharedWorker | None = None


class SharedWorker(Worker):
    """A worker that stays when a panel closes, and does not load again what is loaded."""

    def __init__(self) -> None:
        super().__init__(sys.executable)
        self._asked: tuple[Any, ...] = ()
        self._answer: ModelLoaded | None = None
        self._owed = False
        self.modelLoaded.connect(self._remember)

    def loadModel(self, model: str, device: str = "auto", baseWeights: str | None = None) -> int:
        """As a worker does, at once where that model is loaded."""
        asked = (model, device, baseWeights)
        if asked == self._asked and self._answer is not None:
            self._owed = True
            return self.describe()
        self._asked, self._answer = asked, None
        return super().loadModel(model, device, baseWeights)

    def poll(self) -> None:
        """As a worker does."""
        if self._owed and self._answer is not None:
            self._owed = False
            self.modelLoaded.emit(self._answer)
        super().poll()

    def close(self) -> None:
        """Ends what is on its way and forgets volumes and listeners; the process stays."""
        self.cancel()
        for volumeId in list(self._volumes):
            self.closeVolume(volumeId)
        for signal in vars(self).values():
            if hasattr(signal, "emit"):
                signal.disconnect()
        self.modelLoaded.connect(self._remember)

    def end(self) -> None:
        """Ends the process."""
        super().close()

    def _remember(self, event: ModelLoaded) -> None:
        self._answer = event


def shared_worker() -> SharedWorker:
    """The one there is; it ends with the tests."""
    global _shared
    if _shared is None:
        _shared = SharedWorker()
    return _shared
