"""Which slice to look at next, by the core's ranking of doubts."""

from __future__ import annotations

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.segmentation.review import SliceReview, most_uncertain, review_slices
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace


class ReviewLogic:
    """Ranks the slices of the case in work, and goes through them.

    Args:
        workspace: What the logics share.
        actions: What is on its way.
    """

    def __init__(self, workspace: Workspace, actions: Actions) -> None:
        self._workspace = workspace
        self._actions = actions
        self._seen: set[int] = set()
        workspace.caseChanged.connect(self._onCaseChanged)

    def reasons(self) -> dict[int, str]:
        """Why slices need a look, in words, by slice index; slices that need none are left out."""
        return {review.slice_index: ", ".join(_(reason) for reason in review.reasons) for review in self._toReview()}

    def goToNext(self) -> None:
        """Goes to the most doubtful slice that this was not at yet; from the first again when all were seen.

        Raises:
            InputError: No slice needs a look.
        """
        wanted = [review.slice_index for review in self._toReview()]
        if not wanted:
            raise InputError(_("No slice stands out; look through them all the same."))
        unseen = [index for index in wanted if index not in self._seen]
        if not unseen:
            self._seen.clear()
            unseen = wanted
        self._seen.add(unseen[0])
        self._workspace.views.jumpTo(unseen[0])
        self._workspace.say(
            _("Slice {index}: {reason}.").format(index=unseen[0], reason=self.reasons().get(unseen[0], ""))
        )

    def _toReview(self) -> list[SliceReview]:
        case = self._workspace.case
        # A slice whose mask is still to come is not doubtful.
        if case is None or not case.states or self._actions.isRunOnItsWay:
            return []
        return most_uncertain(review_slices(case.states.values(), case.probabilities, case.sliceCount))

    def _onCaseChanged(self, _case: Case | None) -> None:
        self._seen.clear()
