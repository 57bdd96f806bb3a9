"""Segment liver: the whole volume."""

from __future__ import annotations

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import GuidanceFound, ModelLoaded, Progressed


class RunLogic:
    """Runs the whole volume and tells how far it is.

    Args:
        workspace: What the logics share.
        actions: What is on its way.

    Attributes:
        progressed: Emits (text, done, total).
    """

    def __init__(self, workspace: Workspace, actions: Actions) -> None:
        self.progressed = Signal()
        self._workspace = workspace
        self._actions = actions
        workspace.worker.progressed.connect(self._onProgressed)
        workspace.worker.modelLoaded.connect(self._onModelLoaded)
        workspace.worker.guidanceFound.connect(self._onGuidanceFound)
        # Probabilities are news too where no mask changed.
        actions.ended.connect(lambda action, _event: action.case.save() if action.isRun else None)

    @property
    def isRunning(self) -> bool:
        """Whether a run is on its way."""
        return self._actions.isRunOnItsWay

    def run(self) -> None:
        """Segments the chosen volume; boxes and masks that a person made stay.

        Raises:
            InputError: It cannot be done; the sentence says why.
        """
        if self._workspace.parameter.newTarget:
            raise InputError(
                _("No model knows {target} yet: draw it on a few slices, and fine-tune.").format(
                    target=self._workspace.parameter.newTarget
                )
            )
        if self._actions.isBusy:
            raise InputError(_("Something is being computed; wait for it or cancel it first."))
        case = self._workspace.readyCase()
        before = {index: case.state(index) for index in range(case.sliceCount)}
        name = _("Segment {target}").format(target=self._workspace.target)
        self._actions.begin(name, case, before, self._workspace.worker.run(case.volumeId), isRun=True)
        self.progressed.emit(_("Getting ready…"), 0, 0)

    def cancel(self) -> None:
        """Stops what is on its way; what was done until then stays."""
        self._actions.cancel()

    def _onProgressed(self, event: Progressed) -> None:
        words = {"slices": _("{stage}: {done} of {total} slices"), "steps": _("{stage}: {done} of {total}")}
        text = words[event.unit].format(stage=event.stage, done=event.done, total=event.total)
        if event.seconds_left is not None and event.done < event.total:
            text = _("{text}, about {left} to go").format(text=text, left=duration(event.seconds_left))
        self.progressed.emit(text, event.done, event.total)

    def _onModelLoaded(self, event: ModelLoaded) -> None:
        self._workspace.modelTarget = event.target
        for case in self._workspace.cases.all():
            case.target = self._workspace.parameter.newTarget or event.target
            if case is self._workspace.case:
                case.model = event.spec

    def _onGuidanceFound(self, event: GuidanceFound) -> None:
        case = self._workspace.cases.find(event.volume_id)
        if case is not None:
            case.changed.emit(sorted(event.probabilities))


def duration(seconds: float) -> str:
    """Seconds for people.

    Example:
        >>> duration(7.6), duration(125)
        ('8 s', '2 min')
    """
    return _("{seconds:.0f} s").format(seconds=seconds) if seconds < 100 else _("{m:.0f} min").format(m=seconds / 60)
