"""Actions of the user that the worker computes: one undo step each, with a message when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slicer.i18n import tr as _

from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, Outcome

_MINUTES_FROM = 100  # seconds; longer times are shown in minutes


@dataclass(frozen=True)
class Action:
    """An action in progress.

    Attributes:
        name: Name for the user.
        case: The case that it changes.
        before: The slices that it may change, as they were.
        done: Message when it succeeds; "" for the number of changed slices.
        isRun: Whether it is a run through the whole volume.
        isCarry: Whether it carries a correction to other slices; slices that a person changes meanwhile are not its.
        corrected: The slice that a person corrects with it, or None.
    """

    name: str
    case: Case
    before: Mapping[int, SliceState]
    done: str = ""
    isRun: bool = False
    isCarry: bool = False
    corrected: int | None = None


class Actions:
    """The actions in progress.

    Args:
        workspace: State shared by the logics.

    Attributes:
        changed: Emits when an action has started or ended.
        ended: Emits (action, Finished).
    """

    def __init__(self, workspace: Workspace) -> None:
        self.changed = Signal()
        self.ended = Signal()
        self._workspace = workspace
        self._running: dict[int, Action] = {}
        workspace.worker.on(Finished).connect(self._onFinished)
        workspace.cases.removed.connect(self._onCaseRemoved)

    @property
    def isBusy(self) -> bool:
        """Whether any action is in progress."""
        return bool(self._running)

    @property
    def isRunInProgress(self) -> bool:
        """Whether a run through a whole volume is in progress."""
        return any(action.isRun for action in self._running.values())

    @property
    def isLong(self) -> bool:
        """Whether an action is in progress that goes through many slices."""
        return any(action.isRun or action.isCarry for action in self._running.values())

    def begin(
        self,
        name: str,
        case: Case,
        before: Mapping[int, SliceState],
        request: int,
        done: str = "",
        isRun: bool = False,
        isCarry: bool = False,
        corrected: int | None = None,
    ) -> None:
        """Registers an action whose command was sent.

        Args:
            name: Name for the user; shown as "Undo: ...".
            case: The case that it changes.
            before: The slices that it may change, as they were before it was sent.
            request: The worker's number of the command.
            done: Message when it succeeds; "" for the number of changed slices.
            isRun: Whether it is a run through the whole volume.
            isCarry: Whether it carries a correction to other slices.
            corrected: The slice that a person corrects with it, or None.
        """
        self._running[request] = Action(name, case, before, done, isRun, isCarry, corrected)
        self.changed.emit()

    def cancel(self) -> None:
        """Cancels all actions in progress; what was done until then stays."""
        for request in list(self._running):
            self._workspace.worker.cancel(request)

    def undo(self) -> None:
        """Undoes the last action of the current case."""
        case = self._workspace.case
        if case is not None and not self.isBusy and case.undo.undoName:
            name = case.undo.undoName
            self._showChange(case.undo.undo())
            self._workspace.showMessage(_("Undone: {name}.").format(name=name))

    def redo(self) -> None:
        """Redoes the action that was undone last."""
        case = self._workspace.case
        if case is not None and not self.isBusy and case.undo.redoName:
            name = case.undo.redoName
            self._showChange(case.undo.redo())
            self._workspace.showMessage(_("Redone: {name}.").format(name=name))

    def _showChange(self, slices: tuple[int, ...]) -> None:
        """Jumps to a changed slice, unless one is in view already."""
        views = self._workspace.views
        if slices and views.current not in slices:
            views.jumpTo(slices[len(slices) // 2])

    def _onFinished(self, event: Finished) -> None:
        action = self._running.pop(event.request, None)
        if action is None:
            if event.sentence and event.outcome is Outcome.FAILED:
                self._workspace.showMessage(event.sentence, isError=True)
            return
        before = action.before
        if action.isCarry:
            before = {index: state for index, state in before.items() if index in event.changed}
        action.case.undo.push(action.name, before)
        self.changed.emit()
        self._workspace.showMessage(
            event.sentence or self.summary(action, event), isError=event.outcome is Outcome.FAILED
        )
        self.ended.emit(action, event)

    def summary(self, action: Action, event: Finished) -> str:
        """The sentence that says how an action ended."""
        if event.outcome is Outcome.CANCELLED and (action.done or action.isCarry):  # not counted in finished slices
            return _("{name}: stopped.").format(name=action.name)
        if event.outcome is Outcome.CANCELLED:
            return _("{name}: stopped. {count} finished slices are kept.").format(
                name=action.name, count=len(event.changed)
            )
        if event.outcome is Outcome.LOST:
            return _("{name}: the computing process stopped. Finished slices are kept.").format(name=action.name)
        if action.done:
            return action.done
        if len(event.changed) == 1:
            return _("{name}: slice {index} in {ms:.0f} ms.").format(
                name=action.name, index=event.changed[0], ms=1000 * event.seconds
            )
        time = _("{s:.1f} s").format(s=event.seconds)
        if event.seconds >= _MINUTES_FROM:
            time = _("{m:.1f} min").format(m=event.seconds / 60)
        return _("{name}: {count} slices in {time}.").format(name=action.name, count=len(event.changed), time=time)

    def _onCaseRemoved(self, case: Case) -> None:
        for request in [number for number, action in self._running.items() if action.case is case]:
            del self._running[request]
            self._workspace.worker.cancel(request)
        self.changed.emit()
