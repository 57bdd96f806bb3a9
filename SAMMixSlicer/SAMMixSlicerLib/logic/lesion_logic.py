"""Lesions in the liver (experimental): candidates, accepting and rejecting, figures."""

from __future__ import annotations

from dataclasses import replace

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.lesions.state import LesionState, LesionStatus
from SAMMixSlicerLib.logic.actions import Action, Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.lesion_list import LesionList
from SAMMixSlicerLib.logic.surface_logic import SurfaceLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, LesionGrown, LesionsFound, LesionsMeasured, Outcome, Progressed

_ORGAN = "liver"


class LesionLogic:
    """The lesions of the case in work.

    Args:
        workspace: What the logics share.
        actions: What is on its way.
        corrections: Looked at first, so that the last stroke of the editor is in the liver's mask.
        surface: Shows the liver in 3-D, and lesions with it.

    Attributes:
        changed: Emits when lesions, or what can be done with them, have changed.
        progressed: Emits (done, total) while lesions are looked for or grown.
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
        self._said: dict[int, str] = {}
        self._measuring: int | None = None
        self._refining: int | None = None
        self._surface = surface
        workspace.caseChanged.connect(self._onCaseChanged)
        surface.changed.connect(self._onSurface)
        workspace.cases.removed.connect(lambda case: self._lists.pop(case.volumeId, None))
        workspace.worker.progressed.connect(self._onProgressed)
        workspace.worker.lesionsFound.connect(self._onFound)
        workspace.worker.lesionGrown.connect(self._onGrown)
        workspace.worker.lesionsMeasured.connect(self._onMeasured)
        workspace.worker.finished.connect(self._onFinished)
        actions.ended.connect(self._onEnded)

    @property
    def list(self) -> LesionList | None:
        """The lesions of the case in work; None without a case."""
        return None if self._case is None else self.listOf(self._case.volumeId)

    def listOf(self, volumeId: str) -> LesionList | None:
        """The lesions of a volume that was worked on."""
        return self._lists.get(volumeId)

    def tick(self) -> None:
        """Notices lesions that were changed by hand, and has them measured; called by the panel's timer."""
        found = self.list
        if found is None or self._workspace.isSceneBusy:
            return
        found.takeEdits()
        unmeasured = {number: state.mask for number, state in found.states.items() if state.figures is None}
        if unmeasured and self._measuring is None and not self._actions.isBusy:
            case = found.case
            if self._workspace.attempt(lambda: case.open() or True):
                self._measuring = self._workspace.worker.measureLesions(case.volumeId, unmeasured)

    def find(self) -> None:
        """Looks for candidates in the liver; what a person has accepted, clicked or rejected stays.

        Raises:
            InputError: There is no liver yet, or something else is being computed.
        """
        found = self.ready()
        kept = [state.mask for state in found.states.values() if state.status is not LesionStatus.CANDIDATE]
        request = self._workspace.worker.findLesions(found.case.volumeId, kept)
        self._actions.begin(_("Find candidates"), found.case, {}, request, done=_("No candidate was found."))
        self.progressed.emit(0, 0)

    def refine(self, number: int) -> None:
        """Refines a lesion by one stage, on all its slices; it has to be of some size for that.

        Raises:
            InputError: There is no such lesion, or something else is being computed.
        """
        found = self.ready()
        present = found.present()
        if number not in [state.number for state in present]:
            raise InputError(_("Select a lesion in the table first."))
        self._workspace.readyCase()  # other than for all else of lesions, a model is needed
        self._refining = self._workspace.worker.refineLesion(found.case.volumeId, number, present)
        self._actions.begin(_("Refine lesion"), found.case, {}, self._refining, done=_("Done."))
        self.progressed.emit(0, 0)

    def ready(self) -> LesionList:
        """The lesions, with all that computing needs: the liver's mask and the volume in the worker.

        Raises:
            InputError: Something is missing.
        """
        case = self._case
        if self._actions.isBusy:
            raise InputError(_("Something is being computed; wait for it or cancel it first."))
        if case is None or case.labelmap is None or self.list is None:
            raise InputError(_("Segment the liver first: lesions are looked for in its mask."))
        if case.target != _ORGAN:
            raise InputError(_("Lesions are looked for in the liver, and this is {target}.").format(target=case.target))
        self._corrections.check(case)
        if not case.labelmap.written.any():
            raise InputError(_("The liver's mask is empty, so there is no place for a lesion in it."))
        case.open()
        return self.list

    def accept(self, number: int) -> None:
        """Says that one is a lesion.

        Raises:
            InputError: Something is being computed.
        """
        self._judge(number, LesionStatus.ACCEPTED, _("Accept lesion"))

    def reject(self, number: int) -> None:
        """Says that one is none: its segment goes, the row stays, and it can be accepted again.

        Raises:
            InputError: Something is being computed.
        """
        self._judge(number, LesionStatus.REJECTED, _("Reject lesion"))

    def undo(self) -> None:
        """Takes back the last thing that was done to lesions."""
        self._step("undo")

    def redo(self) -> None:
        """Does again what was undone last."""
        self._step("redo")

    def jumpTo(self, number: int) -> None:
        """Shows a lesion in every view, on the slice of its longest diameter."""
        found = self.list
        state = None if found is None else found.state(number)
        if state is None:
            return
        ends = None if state.figures is None else state.figures.diameter_ends_ijk
        if ends is None:
            k, j, i = ((part.start + part.stop - 1) / 2 for part in state.mask.box)
            self._workspace.views.jumpToPlace((i, j, k))
        else:
            i, j, k = ((one + other) / 2 for one, other in zip(*ends, strict=True))
            self._workspace.views.jumpToPlace((i, j, k))

    def _judge(self, number: int, status: LesionStatus, name: str) -> None:
        found = self.list
        state = None if found is None else found.state(number)
        if found is None or state is None:
            return
        if self._actions.isBusy:
            raise InputError(_("Something is being computed; wait for it or cancel it first."))
        found.do(name, {number: replace(state, status=status)})

    def _step(self, way: str) -> None:
        found = self.list
        name = "" if found is None else getattr(found.undo, f"{way}Name")
        if found is not None and name and not self._actions.isBusy:
            getattr(found.undo, way)()
            words = {"undo": _("Undone: {name}."), "redo": _("Done again: {name}.")}
            self._workspace.say(words[way].format(name=name))

    def _onProgressed(self, event: Progressed) -> None:
        if event.unit == "steps":
            self.progressed.emit(event.done, event.total)

    def _onFound(self, event: LesionsFound) -> None:
        found = self.listOf(event.volume_id)
        if found is None:
            return
        before: dict[int, LesionState | None] = dict.fromkeys(found.untouched())
        kept = [state.mask for number, state in found.states.items() if number not in before]
        new = [(mask, figures) for mask, figures in event.found if not any(mask.meets(one) for one in kept)]
        try:
            numbers = found.freeNumbers(len(new), before)
        except InputError as error:
            self._said[event.request] = str(error)
            return
        states: dict[int, LesionState | None] = dict(before)
        for number, (mask, figures) in zip(numbers, new, strict=True):
            measured = replace(figures, number=number)
            states[number] = LesionState(number, LesionStatus.CANDIDATE, mask, start=mask, figures=measured)
        found.do(_("Find candidates"), states)
        found.noteSearched()
        if new:
            self._said[event.request] = _(
                "{count} candidates: all that is clearly darker than the liver. Most are no lesions; look at each."
            ).format(count=len(new))

    def _onGrown(self, event: LesionGrown) -> None:
        found = self.listOf(event.volume_id)
        before = None if found is None else found.state(event.state.number)
        if found is None or before is None or event.request != self._refining:
            return
        found.do(_("Refine lesion"), {event.state.number: event.state})
        figures = event.state.figures
        self._said[event.request] = _("Lesion {number} has {voxels} voxels now, {before} before.").format(
            number=event.state.number,
            voxels=0 if figures is None else figures.voxels,
            before=int(before.mask.unpack().sum()),
        )

    def _onMeasured(self, event: LesionsMeasured) -> None:
        found = self.listOf(event.volume_id)
        if found is None:
            return
        states = {number: found.state(number) for number in event.figures}
        found.fill(
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
        sentence = self._said.pop(event.request, "")
        if sentence and event.outcome is Outcome.DONE:
            self._workspace.say(sentence)

    def _onSurface(self) -> None:
        segments = None if self.list is None else self.list.segments
        if segments is not None:
            segments.show3d(self._surface.isShown)

    def _onCaseChanged(self, case: Case | None) -> None:
        self._case = case
        if case is not None and case.volumeId not in self._lists:
            made = self._workspace.attempt(lambda: LesionList(case))
            if made is not None:
                made.changed.connect(self.changed.emit)
                self._lists[case.volumeId] = made
        self.changed.emit()
