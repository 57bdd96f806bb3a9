"""Clicks in the views, as voxels of the selected volume, in the order in which they were made."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import numpy as np

from sammix_core.lesions.state import Ijk
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.click_mode import ClickMode
from SAMMixSlicerLib.scene.geometry import ijkToWorld
from SAMMixSlicerLib.signals import Signal

Mode = TypeVar("Mode")


class ClickQueue(Generic[Mode]):
    """Receives clicks while it is on, and keeps each until it is taken, with the mode in which it was made.

    Args:
        workspace: State shared by the logics.
        limit: How many clicks may wait; further ones are dropped. None for any number.

    Attributes:
        ended: Emits when it was ended without `stop`: by Esc, another tool, or closing the scene.
    """

    def __init__(self, workspace: Workspace, limit: int | None = None) -> None:
        self.ended = Signal()
        self._workspace = workspace
        self._limit = limit
        self._mode: Mode | None = None
        self._clicks: deque[tuple[Ijk, Mode]] = deque()
        self._clickMode = ClickMode()
        self._clickMode.placed.connect(self._onPlaced)
        self._clickMode.ended.connect(self._onEnded)

    @property
    def isWaiting(self) -> bool:
        """Whether there is a click that was not taken yet."""
        return self._clickMode.isWaiting or bool(self._clicks)

    def start(self, mode: Mode) -> None:
        """Receives clicks, from now on in this mode."""
        self._clickMode.tick()  # those before it belong to the mode before
        self._mode = mode
        self._clickMode.start()

    def stop(self) -> None:
        """Receives no more clicks; those already made still wait."""
        self._clickMode.tick()
        self._clickMode.stop()
        self._mode = None

    def clear(self) -> None:
        """Receives no more clicks, and drops those that wait."""
        self._mode = None
        self._clickMode.stop()
        self._clicks.clear()

    def take(self) -> tuple[Ijk, Mode] | None:
        """The next voxel that was clicked, and the mode; None without any. Called by the panel's timer."""
        self._clickMode.tick()
        return self._clicks.popleft() if self._clicks else None

    def tick(self) -> None:
        """Takes up the clicks since the last call, so that their points go from the views."""
        self._clickMode.tick()

    def _onPlaced(self, ras: tuple[float, float, float]) -> None:
        volumeNode = self._workspace.volumeNode
        isFull = self._limit is not None and len(self._clicks) >= self._limit
        if volumeNode is None or self._mode is None or isFull:
            return
        ijk = np.linalg.inv(ijkToWorld(volumeNode)) @ [*ras, 1.0]
        i, j, k = (int(index) for index in np.floor(ijk[:3] + 0.5))
        self._clicks.append(((i, j, k), self._mode))

    def _onEnded(self) -> None:
        self._mode = None
        self.ended.emit()
