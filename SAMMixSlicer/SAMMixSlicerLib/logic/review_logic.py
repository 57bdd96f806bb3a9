"""Selects the next slice to review, from the core's ranking of uncertain slices."""

from __future__ import annotations

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.segmentation.review import SliceReview, most_uncertain, review_slices
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace


class ReviewLogic:
    """Ranks the slices of the current case, and steps through them.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
    """

    def __init__(self, workspace: Workspace, actions: Actions) -> None:
        self._workspace = workspace
        self._actions = actions
        self._reviewed: set[int] = set()
        workspace.caseChanged.connect(self._onCaseChanged)

    def reasons(self) -> dict[int, str]:
        """Why slices need a review, by slice index; slices that need none are left out."""
        return {review.slice_index: ", ".join(_(reason) for reason in review.reasons) for review in self._ranked()}

    def goToNext(self) -> None:
        """Jumps to the most uncertain slice that was not shown yet; starts over when all were shown.

        Raises:
            InputError: No slice needs a review.
        """
        ranked = [review.slice_index for review in self._ranked()]
        if not ranked:
            raise InputError(_("No slice stands out. Check all slices before you use the mask."))
        unreviewed = [index for index in ranked if index not in self._reviewed]
        if not unreviewed:
            self._reviewed.clear()
            unreviewed = ranked
        self._reviewed.add(unreviewed[0])
        self._workspace.views.jumpTo(unreviewed[0])
        self._workspace.showMessage(
            _("Slice {index}: {reason}.").format(index=unreviewed[0], reason=self.reasons().get(unreviewed[0], ""))
        )

    def _ranked(self) -> list[SliceReview]:
        case = self._workspace.case
        # During a run, slices without a mask are not uncertain but unfinished.
        if case is None or not case.states or self._actions.isRunInProgress:
            return []
        return most_uncertain(review_slices(case.states.values(), case.probabilities, case.sliceCount))

    def _onCaseChanged(self, _case: Case | None) -> None:
        self._reviewed.clear()
