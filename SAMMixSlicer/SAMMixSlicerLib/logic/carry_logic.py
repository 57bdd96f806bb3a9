"""Carries the correction of a slice to its neighbours, when the user says so or by itself."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.actions import Action, Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.click_logic import ClickLogic
from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.worker import Finished, Outcome
from SAMMixSlicerLib.worker.commands import Carry


class CarryLogic:
    """Carries corrections; slices that a person has worked on stay as they are.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
        clicks: Those that wait are handled before a correction is carried by itself.
        corrections: Notices slices that were painted by hand.
    """

    def __init__(
        self, workspace: Workspace, actions: Actions, clicks: ClickLogic, corrections: CorrectionLogic
    ) -> None:
        self._workspace = workspace
        self._actions = actions
        self._clicks = clicks
        self._corrected: list[int] = []
        self._running: tuple[int, int] | None = None  # request and slice of what is carried by itself
        actions.ended.connect(self._onEnded)
        corrections.noticed.connect(self._onPainted)
        workspace.caseChanged.connect(lambda _case: self._corrected.clear())

    @property
    def isWaiting(self) -> bool:
        """Whether a correction is to be carried by itself, and was not yet."""
        return bool(self._corrected) or self._running is not None

    def tick(self) -> None:
        """Carries the next correction, if that shall happen by itself; called by the panel's timer."""
        if self._running is not None and self._clicks.isBusy:
            # The click shall not wait; what it makes of the slice is carried afterwards.
            (request, index), self._running = self._running, None
            self._workspace.worker.cancel(request)
            self._remember([index])
        elif self._corrected and not self._actions.isBusy and not self._clicks.isBusy:
            index = self._corrected.pop(0)
            request = self._workspace.attempt(lambda: self.carry(index))
            self._running = None if request is None else (request, index)

    def carry(self, index: int | None = None) -> int:
        """Carries the correction of a slice to its neighbours.

        Args:
            index: The slice; None for the slice in view.

        Returns:
            The worker's number of the command.

        Raises:
            InputError: No slice is in view, it has no mask to carry, or something else is being computed.
        """
        if self._actions.isBusy:
            raise InputError(_("Something is being computed. Wait for it, or cancel it first."))
        case = self._workspace.prepareCase()
        index = self._workspace.views.current if index is None else index
        if index is None:
            raise InputError(_("Show a slice of the volume in a slice view first."))
        before = {other: case.state(other) for other in range(case.sliceCount)}
        request = self._workspace.worker.submit(Carry(case.volumeId, index))
        self._actions.begin(_("Carry"), case, before, request, isCarry=True)
        return request

    def _onEnded(self, action: Action, event: Finished) -> None:
        if self._running is not None and event.request == self._running[0]:
            self._running = None
        if event.outcome is not Outcome.DONE:
            return
        if action.isCarry and not event.sentence:
            self._workspace.showMessage(
                _("Carried to {slices}.").format(slices=slicesText(event.changed))
                if event.changed
                else _("No slice beside it is to be changed.")
            )
        elif action.corrected is not None and action.case is self._workspace.case:
            self._remember([action.corrected])

    def _onPainted(self, case: Case, indices: list[int]) -> None:
        if case is self._workspace.case:
            self._remember(indices)

    def _remember(self, indices: list[int]) -> None:
        if self._workspace.parameter.carryByItself:
            self._corrected += [index for index in indices if index not in self._corrected]


def slicesText(indices: Iterable[int]) -> str:
    """Names slices for display.

    Example:
        >>> slicesText([41, 42, 43, 49]), slicesText([7]), slicesText([1, 2, 4, 6, 7])
        ('slices 41–43 and 49', 'slice 7', 'slices 1–2, 4 and 6–7')
    """
    ordered = sorted(indices)
    spans = [
        [index for _place, index in group]
        for _offset, group in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0])
    ]
    names = [str(span[0]) if len(span) == 1 else f"{span[0]}–{span[-1]}" for span in spans]
    text = (
        names[0] if len(names) == 1 else _("{others} and {last}").format(others=", ".join(names[:-1]), last=names[-1])
    )
    return (_("slice {slices}") if len(ordered) == 1 else _("slices {slices}")).format(slices=text)
