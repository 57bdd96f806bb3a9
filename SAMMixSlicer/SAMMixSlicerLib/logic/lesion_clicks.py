"""Clicks on lesions: a mode, a queue, and one step a click."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import StrEnum

import numpy as np
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.lesions.state import Ijk
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.lesion_logic import LesionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.click_mode import ClickMode
from SAMMixSlicerLib.scene.geometry import ijkToWorld
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, LesionGrown

_MOST_WAITING = 20


class Mode(StrEnum):
    """What a click in a view means."""

    OFF = "off"
    ADD = "add"  # a lesion, a new one or what it hangs together with
    GROW = "grow"  # belongs to the lesion that is selected
    TAKE = "take"  # is none of the lesion under it or, beside all, of the one that is selected


class LesionClicks:
    """Takes clicks while a mode is on.

    Args:
        workspace: What the logics share.
        actions: What is on its way.
        lesions: What clicks change.

    Attributes:
        changed: Emits when the mode or the selected lesion is another.
        mode: What a click means now.
        selected: Number of the lesion that is selected; 0 without one.
    """

    def __init__(self, workspace: Workspace, actions: Actions, lesions: LesionLogic) -> None:
        self.changed = Signal()
        self.mode = Mode.OFF
        self.selected = 0
        self._workspace = workspace
        self._actions = actions
        self._lesions = lesions
        self._clickMode = ClickMode()
        self._waiting: deque[tuple[Ijk, Mode]] = deque()
        self._running: int | None = None
        self._said = ""
        self._clickMode.placed.connect(self._onPlaced)
        self._clickMode.ended.connect(lambda: self.setMode(Mode.OFF))
        workspace.caseChanged.connect(lambda _case: self._onCaseChanged())
        lesions.changed.connect(self._onLesionsChanged)
        workspace.worker.lesionGrown.connect(self._onGrown)
        workspace.worker.finished.connect(self._onFinished)
        actions.ended.connect(lambda _action, _event: self._say())

    @property
    def isBusy(self) -> bool:
        """Whether a click has not been done yet."""
        return self._clickMode.isWaiting or bool(self._waiting) or self._running is not None

    def tick(self) -> None:
        """Takes what was clicked; called by the panel's timer."""
        self._clickMode.tick()
        if self._waiting and not self._actions.isBusy:
            ijk, mode = self._waiting.popleft()
            self._workspace.attempt(lambda: self.click(ijk, mode))

    def setMode(self, mode: Mode) -> None:
        """Lets clicks mean something else from now on.

        Raises:
            InputError: There is no liver yet, or no lesion is selected to grow.
        """
        if mode is not Mode.OFF:
            self._lesions.ready()
            if mode is Mode.GROW and not self.selected:
                raise InputError(_("Select a lesion in the table first."))
        self.mode = mode
        if mode is Mode.OFF:
            self._clickMode.stop()
        else:
            self._clickMode.start()
        self.changed.emit()

    def stop(self) -> None:
        """Takes no more clicks; those that were made are still done."""
        if self.mode is not Mode.OFF:
            self.setMode(Mode.OFF)

    def select(self, number: int) -> None:
        """Selects a lesion; 0 for none."""
        if number != self.selected:
            self.selected = number
            self.changed.emit()

    def click(self, ijk: Ijk, mode: Mode) -> None:
        """Does one click.

        Args:
            ijk: Voxel of the volume.
            mode: What it means.

        Raises:
            InputError: It cannot be used.
        """
        found = self._lesions.ready()
        present = found.present()
        target = 0
        if mode is Mode.TAKE:
            under = next((state.number for state in present if ijk in state.mask), 0)
            target = under or self.selected
        elif mode is Mode.GROW:
            target = self.selected
        if mode is not Mode.ADD and target not in [state.number for state in present]:
            raise InputError(_("Click on a lesion, or select one in the table first."))
        worker = self._workspace.worker
        self._running = worker.clickLesion(found.case.volumeId, ijk, mode is not Mode.TAKE, present, target)
        self._actions.begin(_("Click"), found.case, {}, self._running, done=_("Done."))

    def giveUp(self) -> None:
        """Takes no more clicks."""
        self._waiting.clear()
        self._clickMode.stop()
        self._clickMode.tick()

    def _onPlaced(self, ras: tuple[float, float, float]) -> None:
        volumeNode = self._workspace.volumeNode
        if volumeNode is None or self.mode is Mode.OFF or len(self._waiting) >= _MOST_WAITING:
            return
        place = np.linalg.inv(ijkToWorld(volumeNode)) @ [*ras, 1.0]
        i, j, k = (int(at) for at in np.floor(place[:3] + 0.5))
        self._waiting.append(((i, j, k), self.mode))
        self.tick()

    def _onGrown(self, event: LesionGrown) -> None:
        found = self._lesions.listOf(event.volume_id)
        if found is None or event.request != self._running:
            return
        state = event.state
        number = state.number or self._workspace.attempt(lambda: found.freeNumbers(1, {})[0])
        if number is None:
            return
        figures = None if state.figures is None else replace(state.figures, number=number)
        found.do(_("Click"), {number: replace(state, number=number, figures=figures)})
        self._said = _("Lesion {number} has {voxels} voxels now.").format(
            number=number, voxels=0 if figures is None else figures.voxels
        )
        if found is self._lesions.list:
            self.select(number)

    def _onFinished(self, event: Finished) -> None:
        if event.request == self._running:
            self._running = None

    def _say(self) -> None:
        said, self._said = self._said, ""
        if said:
            self._workspace.say(said)

    def _onLesionsChanged(self) -> None:
        found = self._lesions.list
        if found is None or found.state(self.selected) is None:
            self.select(0)

    def _onCaseChanged(self) -> None:
        self.selected = 0
        self._waiting.clear()
        self.stop()
        self.changed.emit()
