"""Clicks that include or exclude a point of a slice: a mode, the points in view, one undo step for each click."""

from __future__ import annotations

from enum import StrEnum

from slicer.i18n import tr as _

from sammix_core.boxes import Click
from sammix_core.errors import InputError
from sammix_core.lesions.state import Ijk
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.click_queue import ClickQueue
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.box_geometry import inPlaneAxes
from SAMMixSlicerLib.scene.click_points import ClickPoints
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished
from SAMMixSlicerLib.worker.commands import AddClick, Command, DeleteClick, EncodeSlices


class Mode(StrEnum):
    """What a click in a slice view does."""

    OFF = "off"
    INCLUDE = "include"
    EXCLUDE = "exclude"


class ClickLogic:
    """Adds and deletes clicks; the worker updates the mask of their slice.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.

    Attributes:
        changed: Emits when the mode or the clicks of the case change, or a click was handled.
        starting: Emits before clicks are received, so that others receive none.
        mode: What a click does at the moment.
        points: The clicks in view.
    """

    def __init__(self, workspace: Workspace, actions: Actions) -> None:
        self.changed = Signal()
        self.starting = Signal()
        self.mode = Mode.OFF
        self.points = ClickPoints()
        self._workspace = workspace
        self._actions = actions
        self._case: Case | None = None
        self._clicks: tuple[Click, ...] = ()
        self._queue = ClickQueue[Mode](workspace)
        self._request: int | None = None
        self._queue.ended.connect(lambda: self.setMode(Mode.OFF))
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.parameterChanged.connect(lambda _parameter: self._show())
        workspace.views.viewsChanged.connect(self._show)
        workspace.views.moved.connect(self._encode)
        workspace.worker.on(Finished).connect(self._onFinished)

    @property
    def isOn(self) -> bool:
        """Whether clicks are received."""
        return self.mode is not Mode.OFF

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks of the case, sorted by slice and voxel."""
        return self._clicks

    @property
    def isBusy(self) -> bool:
        """Whether a click was not handled yet."""
        return self._queue.isWaiting or self._request is not None

    def tick(self) -> None:
        """Handles the next click; called by the panel's timer."""
        self._queue.tick()
        # One after the other, since the undo step of each begins where the one before ended.
        clicked = None if self._request is not None else self._queue.take()
        if clicked is not None:
            ijk, mode = clicked
            self._workspace.attempt(lambda: self.click(ijk, mode is Mode.INCLUDE))

    def setMode(self, mode: Mode) -> None:
        """Changes what clicks in the slice views do.

        Raises:
            InputError: No CT is selected, or it cannot be segmented.
        """
        if mode is not Mode.OFF:
            self._workspace.prepareCase()
            self.starting.emit()
        self.mode = mode
        if mode is Mode.OFF:
            self._queue.stop()
        else:
            self._queue.start(mode)
            self._encode(self._workspace.views.current)
        self.changed.emit()

    def stop(self) -> None:
        """Accepts no more clicks; those already made are still handled."""
        if self.isOn:
            self.setMode(Mode.OFF)

    def click(self, ijk: Ijk, positive: bool) -> None:
        """Adds a click, and segments its slice.

        Args:
            ijk: Voxel of the volume, on any slice.
            positive: Whether it belongs to the structure.

        Raises:
            InputError: The voxel lies outside the volume, or the volume cannot be segmented.
        """
        case = self._workspace.prepareCase()
        if not all(0 <= at < size for at, size in zip(ijk, case.shapeKji[::-1], strict=True)):
            raise InputError(_("That click was beside the CT. Click inside it."))
        first, second, across = inPlaneAxes(case.sliceAxis)
        click = Click(ijk[across], ijk[first], ijk[second], positive)
        self._submit(_("Include") if positive else _("Exclude"), case, click, AddClick(case.volumeId, click))

    def delete(self, click: Click) -> None:
        """Deletes a click, and segments its slice without it.

        Raises:
            InputError: The click is not there any more, or a click is being handled.
        """
        if self.isBusy:
            raise InputError(_("Something is being computed. Wait for it, or cancel it first."))
        case = self._workspace.prepareCase()
        if click not in case.state(click.slice_index).clicks:
            raise InputError(_("Select a click in the list first."))
        self._submit(_("Delete click"), case, click, DeleteClick(case.volumeId, click))

    def teardown(self) -> None:
        """Drops queued clicks, accepts no more, and removes the points from the scene."""
        self._queue.clear()
        self._queue.tick()
        self.points.remove()

    def _submit(self, name: str, case: Case, click: Click, command: Command) -> None:
        index = click.slice_index
        state = case.state(index)
        self._request = self._workspace.worker.submit(command)
        corrected = None if state.clicks == (click,) else index  # without its last click nothing is to be carried
        self._actions.begin(name, case, {index: state}, self._request, corrected=corrected)

    def _encode(self, index: int | None) -> None:
        """Encodes the slice in view while clicks are expected, so that the first one is answered as fast as others."""
        case = self._case
        if self.isOn and case is not None and case.isOpen and index is not None:
            self._workspace.worker.submit(EncodeSlices(case.volumeId, (index,)))

    def _show(self) -> None:
        case = self._case
        if case is None or not self._workspace.parameter.showBoxes or self._workspace.isSceneBusy:
            self.points.hide()
            return
        viewIds = [node.GetID() for node in self._workspace.views.alignedViews()]
        self.points.show(case.volumeNode, case.sliceAxis, self._clicks, viewIds)

    def _refresh(self) -> None:
        states = {} if self._case is None else self._case.states
        self._clicks = tuple(click for _index, state in sorted(states.items()) for click in state.clicks)
        self._show()
        self.changed.emit()

    def _onFinished(self, event: Finished) -> None:
        if event.request == self._request:
            self._request = None
            self.changed.emit()

    def _onCaseChanged(self, case: Case | None) -> None:
        if self._case is not None:
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case = case
        if case is None:
            self.points.remove()
        else:
            case.changed.connect(self._onSlicesChanged)
        self._queue.clear()
        self.stop()
        self._refresh()

    def _onSlicesChanged(self, indices: list[int]) -> None:
        if self._case is not None and any(self._case.state(index).clicks != self._onSlice(index) for index in indices):
            self._refresh()

    def _onSlice(self, index: int) -> tuple[Click, ...]:
        return tuple(click for click in self._clicks if click.slice_index == index)
