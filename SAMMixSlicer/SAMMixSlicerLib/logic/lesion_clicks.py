"""Clicks on lesions: a mode, a queue, and one undo step for each click."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.lesions.state import Ijk
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.click_queue import ClickQueue
from SAMMixSlicerLib.logic.lesion_logic import LesionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, LesionUpdated
from SAMMixSlicerLib.worker.lesion_commands import ClickLesion

_MAX_QUEUED = 20


class Mode(StrEnum):
    """What a click in a view does."""

    OFF = "off"
    ADD = "add"  # adds the voxel to the lesion it is connected to, or starts a new one
    GROW = "grow"  # adds the voxel to the selected lesion
    SHRINK = "shrink"  # removes the voxel from the lesion under it or, outside all, from the selected one


class LesionClicks:
    """Handles clicks while a mode is on.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
        lesions: The lesions to change.

    Attributes:
        changed: Emits when the mode or the selected lesion changes.
        starting: Emits before clicks are received, so that others receive none.
        mode: What a click does at the moment.
        selected: Number of the selected lesion; 0 for none.
    """

    def __init__(self, workspace: Workspace, actions: Actions, lesions: LesionLogic) -> None:
        self.changed = Signal()
        self.starting = Signal()
        self.mode = Mode.OFF
        self.selected = 0
        self._workspace = workspace
        self._actions = actions
        self._lesions = lesions
        self._queue = ClickQueue[Mode](workspace, _MAX_QUEUED)
        self._request: int | None = None
        self._message = ""
        self._queue.ended.connect(lambda: self.setMode(Mode.OFF))
        workspace.caseChanged.connect(lambda _case: self._onCaseChanged())
        lesions.changed.connect(self._onLesionsChanged)
        workspace.worker.on(LesionUpdated).connect(self._onUpdated)
        workspace.worker.on(Finished).connect(self._onFinished)
        actions.ended.connect(lambda _action, _event: self._showResult())

    @property
    def isOn(self) -> bool:
        """Whether clicks are received."""
        return self.mode is not Mode.OFF

    @property
    def isBusy(self) -> bool:
        """Whether a click was not handled yet."""
        return self._queue.isWaiting or self._request is not None

    def tick(self) -> None:
        """Handles the next click; called by the panel's timer."""
        self._queue.tick()
        clicked = None if self._actions.isBusy else self._queue.take()
        if clicked is not None:
            self._workspace.attempt(lambda: self.click(*clicked))

    def setMode(self, mode: Mode) -> None:
        """Changes what clicks do.

        Raises:
            InputError: There is no liver mask yet, or no lesion is selected to grow.
        """
        if mode is not Mode.OFF:
            self._lesions.prepare()
            if mode is Mode.GROW and not self.selected:
                raise InputError(_("Select a lesion in the table first."))
        self.mode = mode
        if mode is Mode.OFF:
            self._queue.stop()
        else:
            self.starting.emit()
            self._queue.start(mode)
        self.changed.emit()

    def stop(self) -> None:
        """Accepts no more clicks; those already made are still handled."""
        if self.isOn:
            self.setMode(Mode.OFF)

    def select(self, number: int) -> None:
        """Selects a lesion; 0 for none."""
        if number != self.selected:
            self.selected = number
            self.changed.emit()

    def click(self, ijk: Ijk, mode: Mode) -> None:
        """Handles one click.

        Args:
            ijk: Voxel of the volume.
            mode: What the click does.

        Raises:
            InputError: The click has no lesion to change, or something else is being computed.
        """
        lesions = self._lesions.prepare()
        present = lesions.present()
        target = 0
        if mode is Mode.SHRINK:
            clicked = next((state.number for state in present if ijk in state.mask), 0)
            target = clicked or self.selected
        elif mode is Mode.GROW:
            target = self.selected
        if mode is not Mode.ADD and target not in [state.number for state in present]:
            raise InputError(_("Click on a lesion, or select one in the table first."))
        command = ClickLesion(lesions.case.volumeId, ijk, mode is not Mode.SHRINK, tuple(present), target)
        self._request = self._workspace.worker.submit(command)
        self._actions.begin(_("Click"), lesions.case, {}, self._request, done=_("Done."))

    def teardown(self) -> None:
        """Drops queued clicks and accepts no more."""
        self._queue.clear()
        self._queue.tick()

    def _onUpdated(self, event: LesionUpdated) -> None:
        lesions = self._lesions.listOf(event.volume_id)
        if lesions is None or event.request != self._request:
            return
        state = event.state
        number = state.number or self._workspace.attempt(lambda: lesions.freeNumbers(1, {})[0])
        if number is None:
            return
        figures = None if state.figures is None else replace(state.figures, number=number)
        lesions.apply(_("Click"), {number: replace(state, number=number, figures=figures)})
        self._message = _("Lesion {number} now has {voxels} voxels.").format(
            number=number, voxels=0 if figures is None else figures.voxels
        )
        if lesions is self._lesions.list:
            self.select(number)

    def _onFinished(self, event: Finished) -> None:
        if event.request == self._request:
            self._request = None

    def _showResult(self) -> None:
        message, self._message = self._message, ""
        if message:
            self._workspace.showMessage(message)

    def _onLesionsChanged(self) -> None:
        lesions = self._lesions.list
        if lesions is None or lesions.state(self.selected) is None:
            self.select(0)

    def _onCaseChanged(self) -> None:
        self.selected = 0
        self._queue.clear()
        self.stop()
        self.changed.emit()
