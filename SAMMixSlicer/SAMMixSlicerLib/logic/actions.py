"""What the user asked the worker for: one undo step each, told when it starts and when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slicer.i18n import tr as _

from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, Outcome

_A_WHILE = 100  # seconds, from which on minutes read better


@dataclass(frozen=True)
class Action:
    """Something on its way.

    Attributes:
        name: What people call it.
        case: What it is done to.
        before: The slices that it may change, as they were.
        done: What to say when it has ended well; "" for how many slices it changed.
        isRun: Whether it is a run through the whole volume.
    """

    name: str
    case: Case
    before: Mapping[int, SliceState]
    done: str = ""
    isRun: bool = False


class Actions:
    """The actions on their way.

    Args:
        workspace: What the logics share.

    Attributes:
        changed: Emits when one has started or ended.
        ended: Emits (action, Finished).
    """

    def __init__(self, workspace: Workspace) -> None:
        self.changed = Signal()
        self.ended = Signal()
        self._workspace = workspace
        self._running: dict[int, Action] = {}
        workspace.worker.finished.connect(self._onFinished)
        workspace.cases.removed.connect(self._onCaseRemoved)

    @property
    def isBusy(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._running)

    @property
    def isRunOnItsWay(self) -> bool:
        """Whether a run through a whole volume is on its way."""
        return any(action.isRun for action in self._running.values())

    def begin(
        self,
        name: str,
        case: Case,
        before: Mapping[int, SliceState],
        request: int,
        done: str = "",
        isRun: bool = False,
    ) -> None:
        """Notes that a command was sent.

        Args:
            name: What people call it; shown as "Undo ...".
            case: What it is done to.
            before: The slices that it may change, as they were before it was sent.
            request: The worker's number of it.
            done: What to say when it has ended well; "" for how many slices it changed.
            isRun: Whether it is a run through the whole volume.
        """
        self._running[request] = Action(name, case, before, done, isRun)
        self.changed.emit()

    def cancel(self) -> None:
        """Stops all that is on its way; what was done until then stays."""
        for request in list(self._running):
            self._workspace.worker.cancel(request)

    def undo(self) -> None:
        """Takes back the last action of the case in work."""
        case = self._workspace.case
        if case is not None and not self.isBusy and case.undo.undoName:
            name = case.undo.undoName
            self._show(case.undo.undo())
            self._workspace.say(_("Undone: {name}.").format(name=name))

    def redo(self) -> None:
        """Does again what was undone last."""
        case = self._workspace.case
        if case is not None and not self.isBusy and case.undo.redoName:
            name = case.undo.redoName
            self._show(case.undo.redo())
            self._workspace.say(_("Done again: {name}.").format(name=name))

    def _show(self, slices: tuple[int, ...]) -> None:
        """Goes where something changed, unless it is in view already."""
        views = self._workspace.views
        if slices and views.current not in slices:
            views.jumpTo(slices[len(slices) // 2])

    def _onFinished(self, event: Finished) -> None:
        action = self._running.pop(event.request, None)
        if action is None:
            if event.sentence and event.outcome is Outcome.FAILED:
                self._workspace.say(event.sentence, isError=True)
            return
        action.case.undo.push(action.name, action.before)
        self.changed.emit()
        self._workspace.say(event.sentence or self._word(action, event), isError=event.outcome is Outcome.FAILED)
        self.ended.emit(action, event)

    def _word(self, action: Action, event: Finished) -> str:
        if event.outcome is Outcome.CANCELLED and action.done:  # nothing that is counted in slices
            return _("{name}: stopped.").format(name=action.name)
        if event.outcome is Outcome.CANCELLED:
            return _("{name}: stopped; {count} slices were done and are kept.").format(
                name=action.name, count=len(event.changed)
            )
        if event.outcome is Outcome.LOST:
            return _("{name}: the computing process stopped; what was done is kept.").format(name=action.name)
        if action.done:
            return action.done
        if len(event.changed) == 1:
            return _("{name}: slice {index} in {ms:.0f} ms.").format(
                name=action.name, index=event.changed[0], ms=1000 * event.seconds
            )
        time = _("{s:.1f} s").format(s=event.seconds)
        if event.seconds >= _A_WHILE:
            time = _("{m:.1f} min").format(m=event.seconds / 60)
        return _("{name}: {count} slices in {time}.").format(name=action.name, count=len(event.changed), time=time)

    def _onCaseRemoved(self, case: Case) -> None:
        for request in [number for number, action in self._running.items() if action.case is case]:
            del self._running[request]
            self._workspace.worker.cancel(request)
        self.changed.emit()
