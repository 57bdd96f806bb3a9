"""Segment liver: segments the whole volume."""

from __future__ import annotations

from slicer.i18n import tr as _

from sammix_core.errors import WARNING, InputError
from SAMMixSlicerLib.logic.actions import Action, Actions
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, GuidanceFound, ModelLoaded, Outcome, Progressed, VolumeOpened
from SAMMixSlicerLib.worker.commands import Run


class RunLogic:
    """Segments the whole volume and reports progress.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.

    Attributes:
        progressed: Emits (text, done, total).
    """

    def __init__(self, workspace: Workspace, actions: Actions) -> None:
        self.progressed = Signal()
        self._workspace = workspace
        self._actions = actions
        self._notes: dict[str, dict[type, tuple[str, ...]]] = {}
        workspace.worker.on(VolumeOpened).connect(self._onNotes)
        workspace.worker.on(GuidanceFound).connect(self._onNotes)
        workspace.worker.on(Progressed).connect(self._onProgressed)
        workspace.worker.on(ModelLoaded).connect(self._onModelLoaded)
        workspace.worker.on(GuidanceFound).connect(self._onGuidanceFound)
        actions.ended.connect(self._onEnded)

    def run(self) -> None:
        """Segments the selected volume; boxes and masks made by hand stay.

        Raises:
            InputError: The volume cannot be segmented; the sentence says why.
        """
        if self._workspace.parameter.newTarget:
            raise InputError(
                _("No model knows {target} yet. Draw it on a few slices, then fine-tune.").format(
                    target=self._workspace.parameter.newTarget
                )
            )
        if self._actions.isBusy:
            raise InputError(_("Something is being computed. Wait for it, or cancel it first."))
        case = self._workspace.prepareCase()
        before = {index: case.state(index) for index in range(case.sliceCount)}
        name = _("Segment {target}").format(target=self._workspace.target)
        self._actions.begin(name, case, before, self._workspace.worker.submit(Run(case.volumeId)), isRun=True)
        self.progressed.emit(_("Preparing…"), 0, 0)

    def cancel(self) -> None:
        """Cancels all actions in progress; finished slices are kept."""
        self._actions.cancel()

    def _onEnded(self, action: Action, event: Finished) -> None:
        if not action.isRun:
            return
        action.case.save()  # probabilities are new even if no mask has changed
        if event.outcome is Outcome.DONE:
            self._showNotes(action.case.volumeId, self._actions.summary(action, event))

    def _onNotes(self, event: VolumeOpened | GuidanceFound) -> None:
        self._notes.setdefault(event.volume_id, {})[type(event)] = event.notes

    def _showNotes(self, volumeId: str, summary: str) -> None:
        """Shows warnings before the summary of a run, and what else was odd about the volume after it."""
        notes = [note for part in self._notes.get(volumeId, {}).values() for note in part]
        warnings = [note for note in notes if note.startswith(WARNING)]
        others = [note for note in notes if note not in warnings]
        if notes:
            self._workspace.showMessage(" ".join([*warnings, summary, *others]), isError=bool(warnings))

    def _onProgressed(self, event: Progressed) -> None:
        formats = {"slices": _("{stage}: {done} of {total} slices"), "steps": _("{stage}: {done} of {total}")}
        text = formats[event.unit].format(stage=event.stage, done=event.done, total=event.total)
        if event.seconds_left is not None and event.done < event.total:
            text = _("{text}, about {left} left").format(text=text, left=duration(event.seconds_left))
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
    """Formats a duration for display.

    Example:
        >>> duration(7.6), duration(125)
        ('8 s', '2 min')
    """
    return _("{seconds:.0f} s").format(seconds=seconds) if seconds < 100 else _("{m:.0f} min").format(m=seconds / 60)
