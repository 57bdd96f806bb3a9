"""Selects the next slice to review, from the core's list of where most is expected to be wrong."""

from __future__ import annotations

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.segmentation.review import SliceReview, VolumeReviewer, review_order
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import grid_from_ras
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace


def reasonLabel(review: SliceReview) -> str:
    """Why a slice should be reviewed, for display."""
    return "; ".join(_(reason) for reason in review.reasons)


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
        self._reviewer: tuple[tuple[object, ...], VolumeReviewer] | None = None
        workspace.caseChanged.connect(self._onCaseChanged)

    def ranked(self) -> list[SliceReview]:
        """The slices that are worth a review, the one with most to be wrong first."""
        case = self._workspace.case
        # During a run, slices without a mask are not uncertain but unfinished.
        if case is None or not case.states or self._actions.isRunInProgress:
            return []
        try:
            return review_order(self._reviewerOf(case).review(case.states.values(), case.probabilities))
        except InputError:  # the volume was rotated or resized; an action says so
            return []

    def goToNext(self) -> None:
        """Jumps to the slice with most to be wrong that was not shown yet; starts over when all were shown.

        Raises:
            InputError: No slice is worth a review.
        """
        ranked = {review.slice_index: reasonLabel(review) for review in self.ranked()}
        if not ranked:
            raise InputError(_("No slice stands out. Check all slices before you use the mask."))
        unreviewed = [index for index in ranked if index not in self._reviewed]
        if not unreviewed:
            self._reviewed.clear()
            unreviewed = list(ranked)
        first = unreviewed[0]
        self._reviewed.add(first)
        self._workspace.views.jumpTo(first)
        self._workspace.showMessage(_("Slice {index}: {reason}.").format(index=first, reason=ranked[first]))

    def _reviewerOf(self, case: Case) -> VolumeReviewer:
        """The case's reviewer, which remembers what it saw; a new one where the volume has changed."""
        source = case.source
        madeOf = (case.target, *source.fingerprint())
        if self._reviewer is None or self._reviewer[0] != madeOf:
            spacing, _origin, direction = grid_from_ras(source.matrix())
            order, isKnown = AxialOrder.from_direction(direction), source.isSpacingKnown()
            self._reviewer = madeOf, VolumeReviewer(source.array(), order, spacing, isKnown, isKnown, case.target)
        return self._reviewer[1]

    def _onCaseChanged(self, _case: Case | None) -> None:
        self._reviewed.clear()
        self._reviewer = None
