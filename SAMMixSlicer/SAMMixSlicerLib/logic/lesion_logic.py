"""Lesions in the liver (experimental): candidates, accepting and rejecting, measurements."""

from __future__ import annotations

from dataclasses import replace

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.lesions.state import LesionState, LesionStatus
from sammix_core.model_store.organs import LIVER
from SAMMixSlicerLib.logic.actions import Action, Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.lesion_list import LesionList
from SAMMixSlicerLib.logic.surface_logic import SurfaceLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, LesionsFound, LesionsMeasured, LesionUpdated, Outcome, Progressed
from SAMMixSlicerLib.worker.lesion_commands import FindLesions, MeasureLesions, RefineLesion

_ORGAN = LIVER.name


class LesionLogic:
    """The lesions of the current case.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
        corrections: Checked first, so that the liver's mask contains the last stroke of the editor.
        surface: Shows the liver in 3-D, and lesions with it.

    Attributes:
        changed: Emits when lesions, or the possible actions on them, have changed.
        progressed: Emits (done, total) while the worker finds or updates lesions.
    """

    def __init__(
        self, workspace: Workspace, actions: Actions, corrections: CorrectionLogic, surface: SurfaceLogic
    ) -> None:
        self.changed = Signal()
        self.progressed = Signal()
        self._workspace = workspace
        self._actions = actions
        self._corrections = corrections
        self._case: Case | None = None
        self._lists: dict[str, LesionList] = {}
        self._messages: dict[int, str] = {}
        self._measuring: int | None = None
        self._refining: int | None = None
        self._surface = surface
        workspace.caseChanged.connect(self._onCaseChanged)
        surface.changed.connect(self._onSurface)
        workspace.cases.removed.connect(lambda case: self._lists.pop(case.volumeId, None))
        workspace.worker.on(Progressed).connect(self._onProgressed)
        workspace.worker.on(LesionsFound).connect(self._onFound)
        workspace.worker.on(LesionUpdated).connect(self._onUpdated)
        workspace.worker.on(LesionsMeasured).connect(self._onMeasured)
        workspace.worker.on(Finished).connect(self._onFinished)
        actions.ended.connect(self._onEnded)

    @property
    def list(self) -> LesionList | None:
        """The lesions of the current case; None without a case."""
        return None if self._case is None else self.listOf(self._case.volumeId)

    def listOf(self, volumeId: str) -> LesionList | None:
        """The lesions of a volume, or None."""
        return self._lists.get(volumeId)

    def tick(self) -> None:
        """Notices edited lesions and measures them; called by the panel's timer."""
        lesions = self.list
        if lesions is None or self._workspace.isSceneBusy:
            return
        lesions.collectEdits()
        unmeasured = {number: state.mask for number, state in lesions.states.items() if state.figures is None}
        if unmeasured and self._measuring is None and not self._actions.isBusy:
            case = lesions.case
            if self._workspace.attempt(lambda: _opened(case)):
                self._measuring = self._workspace.worker.submit(MeasureLesions(case.volumeId, unmeasured))

    def find(self) -> None:
        """Finds candidates in the liver; accepted, clicked and rejected lesions stay.

        Raises:
            InputError: There is no liver mask yet, or something else is being computed.
        """
        lesions = self.prepare()
        kept = tuple(state.mask for state in lesions.states.values() if state.status is not LesionStatus.CANDIDATE)
        request = self._workspace.worker.submit(FindLesions(lesions.case.volumeId, kept))
        self._actions.begin(_("Find candidates"), lesions.case, {}, request, done=_("No candidate was found."))
        self.progressed.emit(0, 0)

    def refine(self, number: int) -> None:
        """Refines a lesion by one stage, on all its slices.

        Raises:
            InputError: There is no such lesion, or something else is being computed.
        """
        lesions = self.prepare()
        present = lesions.present()
        if number not in [state.number for state in present]:
            raise InputError(_("Select a lesion in the table first."))
        self._workspace.prepareCase()  # unlike the other actions on lesions, this needs a model
        self._refining = self._workspace.worker.submit(RefineLesion(lesions.case.volumeId, number, tuple(present)))
        self._actions.begin(_("Refine lesion"), lesions.case, {}, self._refining, done=_("Done."))
        self.progressed.emit(0, 0)

    def prepare(self) -> LesionList:
        """Returns the lesions, with the liver's mask up to date and the volume open in the worker.

        Raises:
            InputError: Something is missing.
        """
        case = self._case
        if self._actions.isBusy:
            raise InputError(_("Something is being computed. Wait for it, or cancel it first."))
        if case is None or case.labelmap is None or self.list is None:
            raise InputError(_("Segment the liver first. Lesions are searched for in its mask."))
        if case.target != _ORGAN:
            raise InputError(_("Lesions are searched for in the liver; this is {target}.").format(target=case.target))
        self._corrections.check(case)
        if not case.labelmap.written.any():
            raise InputError(_("The liver's mask is empty. Segment the liver first."))
        case.open()
        return self.list

    def accept(self, number: int) -> None:
        """Accepts a lesion.

        Raises:
            InputError: Something is being computed.
        """
        self._setStatus(number, LesionStatus.ACCEPTED, _("Accept lesion"))

    def reject(self, number: int) -> None:
        """Rejects a lesion: its segment is removed, its row stays, and it can be accepted again.

        Raises:
            InputError: Something is being computed.
        """
        self._setStatus(number, LesionStatus.REJECTED, _("Reject lesion"))

    def undo(self) -> None:
        """Undoes the last change of lesions."""
        undo = None if self.list is None else self.list.undo
        if undo is not None and undo.undoName and not self._actions.isBusy:
            name = undo.undoName
            undo.undo()
            self._workspace.showMessage(_("Undone: {name}.").format(name=name))

    def redo(self) -> None:
        """Redoes the change that was undone last."""
        undo = None if self.list is None else self.list.undo
        if undo is not None and undo.redoName and not self._actions.isBusy:
            name = undo.redoName
            undo.redo()
            self._workspace.showMessage(_("Redone: {name}.").format(name=name))

    def jumpTo(self, number: int) -> None:
        """Shows a lesion in every view, on the slice of its longest diameter."""
        state = None if self.list is None else self.list.state(number)
        if state is None:
            return
        ends = None if state.figures is None else state.figures.diameter_ends_ijk
        if ends is None:
            k, j, i = ((part.start + part.stop - 1) / 2 for part in state.mask.box)
            self._workspace.views.jumpToVoxel((i, j, k))
        else:
            i, j, k = ((first + second) / 2 for first, second in zip(*ends, strict=True))
            self._workspace.views.jumpToVoxel((i, j, k))

    def _setStatus(self, number: int, status: LesionStatus, name: str) -> None:
        lesions = self.list
        state = None if lesions is None else lesions.state(number)
        if lesions is None or state is None:
            return
        if self._actions.isBusy:
            raise InputError(_("Something is being computed. Wait for it, or cancel it first."))
        lesions.apply(name, {number: replace(state, status=status)})

    def _onProgressed(self, event: Progressed) -> None:
        if event.unit == "steps":
            self.progressed.emit(event.done, event.total)

    def _onFound(self, event: LesionsFound) -> None:
        lesions = self.listOf(event.volume_id)
        if lesions is None:
            return
        before: dict[int, LesionState | None] = dict.fromkeys(lesions.unreviewed())
        kept = [state.mask for number, state in lesions.states.items() if number not in before]
        new = [candidate for candidate in event.candidates if not any(candidate[0].meets(mask) for mask in kept)]
        try:
            numbers = lesions.freeNumbers(len(new), before)
        except InputError as error:
            self._messages[event.request] = str(error)
            return
        states: dict[int, LesionState | None] = dict(before)
        for number, (mask, figures) in zip(numbers, new, strict=True):
            measured = replace(figures, number=number)
            states[number] = LesionState(number, LesionStatus.CANDIDATE, mask, start=mask, figures=measured)
        lesions.apply(_("Find candidates"), states)
        lesions.markSearched()
        if new:
            self._messages[event.request] = _(
                "{count} candidates: everything clearly darker than the liver. Most are not lesions; review each one."
            ).format(count=len(new))

    def _onUpdated(self, event: LesionUpdated) -> None:
        lesions = self.listOf(event.volume_id)
        before = None if lesions is None else lesions.state(event.state.number)
        if lesions is None or before is None or event.request != self._refining:
            return
        lesions.apply(_("Refine lesion"), {event.state.number: event.state})
        figures = event.state.figures
        self._messages[event.request] = _("Lesion {number} now has {voxels} voxels; before: {before}.").format(
            number=event.state.number,
            voxels=0 if figures is None else figures.voxels,
            before=int(before.mask.unpack().sum()),
        )

    def _onMeasured(self, event: LesionsMeasured) -> None:
        lesions = self.listOf(event.volume_id)
        if lesions is None:
            return
        states = {number: lesions.state(number) for number in event.figures}
        lesions.setFigures(
            {
                number: replace(state, figures=event.figures[number])
                for number, state in states.items()
                if state is not None and state.mask == event.masks[number]
            }
        )

    def _onFinished(self, event: Finished) -> None:
        if event.request == self._measuring:
            self._measuring = None
        if event.request == self._refining:
            self._refining = None

    def _onEnded(self, action: Action, event: Finished) -> None:
        sentence = self._messages.pop(event.request, "")
        if sentence and event.outcome is Outcome.DONE:
            self._workspace.showMessage(sentence)

    def _onSurface(self) -> None:
        segments = None if self.list is None else self.list.segments
        if segments is not None:
            segments.show3d(self._surface.isShown)

    def _onCaseChanged(self, case: Case | None) -> None:
        self._case = case
        if case is not None and case.volumeId not in self._lists:
            lesions = self._workspace.attempt(lambda: LesionList(case))
            if lesions is not None:
                lesions.changed.connect(self.changed.emit)
                self._lists[case.volumeId] = lesions
        self.changed.emit()


def _opened(case: Case) -> bool:
    """Opens a case's volume in the worker; True, unlike what `Workspace.attempt` returns after an error."""
    case.open()
    return True
