"""Section "Slices": the table, and a button for the next slice to review."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from sammix_core.boxes import BoxSource
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.review_logic import ReviewLogic, reasonLabel
from SAMMixSlicerLib.logic.show_logic import ShowLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.widgets.read_only_table import addEmptyRow, prepareReadOnlyTable
from SAMMixSlicerLib.worker import SliceScored

_COLUMNS, _BOXES_COLUMN = 5, 2


def sourceLabel(source: BoxSource) -> str:
    """Who set a box, for display."""
    labels = {
        BoxSource.AUTO: _("auto"),
        BoxSource.EDITED: _("edited"),
        BoxSource.INTERPOLATED: _("interpolated"),
        BoxSource.CARRIED: _("carried"),
    }
    return labels[source]


def boxesLabel(state: SliceState) -> str:
    """A slice's boxes, how many where there are several and who set them, and clicks: "2: auto, edited, 3 clicks"."""
    words = list(dict.fromkeys(sourceLabel(box.source) for box in state.boxes))
    if state.deleted:
        words.append(_("deleted"))
    if state.clicks:
        clicks = len(state.clicks)
        words.append(_("1 click") if clicks == 1 else _("{count} clicks").format(count=clicks))
    several = f"{len(state.boxes)}: " if len(state.boxes) > 1 else ""
    return several + ", ".join(words)


class SlicesSection:
    """A table with one row for each slice.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        actions: The actions in progress.
        reviewLogic: Ranks slices to review.
        showLogic: Shows the plot.
    """

    def __init__(
        self, ui: Any, workspace: Workspace, actions: Actions, reviewLogic: ReviewLogic, showLogic: ShowLogic
    ) -> None:
        self._ui = ui
        self._workspace = workspace
        self._review = reviewLogic
        self._show = showLogic
        self._case: Case | None = None
        self._stale: set[int] = set()
        self._reasons: dict[int, str] = {}
        self._isSelecting = False
        table = ui.sliceTable
        titles = [_("Slice"), _("Probability"), _("Boxes"), _("Score"), _("Review")]
        prepareReadOnlyTable(table, titles, widths=(46, 84, 104, 52))
        table.connect("itemSelectionChanged()", self._onSelected)
        ui.nextReviewButton.connect("clicked()", lambda: workspace.attempt(reviewLogic.goToNext))
        ui.plotButton.connect("clicked()", lambda: workspace.attempt(showLogic.showPlot))
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.views.moved.connect(self._onMoved)
        workspace.worker.on(SliceScored).connect(self._onScored)
        actions.ended.connect(lambda action, _event: self._onSlicesChanged(range(action.case.sliceCount)))
        self._onCaseChanged(workspace.case)

    def tick(self) -> None:
        """Updates the rows of changed slices; called by the panel's timer."""
        if not self._stale or self._case is None:
            return
        # A mask also says something about the neighbouring slices, so that all reasons are compared.
        ranked = self._review.ranked()
        before = self._reasons
        reasons = {review.slice_index: reasonLabel(review) for review in ranked if review.needs_review}
        changed = {index for index in before.keys() | reasons.keys() if before.get(index) != reasons.get(index)}
        stale, self._stale, self._reasons = self._stale | changed, set(), reasons
        for index in stale:
            self._fillRow(self._case, index, reasons.get(index, ""))
        self._ui.nextReviewButton.setEnabled(bool(ranked))

    def _fillRow(self, case: Case, index: int, reason: str) -> None:
        state, probability = case.state(index), case.probabilities.get(index)
        texts = (
            str(index),
            "" if probability is None else f"{probability:.2f}",
            boxesLabel(state),
            "" if state.scores.score is None else f"{state.scores.score:.2f}",
            _("corrected") if state.corrected else reason,
        )
        for column, text in enumerate(texts):
            item = self._ui.sliceTable.item(index, column)
            item.setText(text)
            if column in (_BOXES_COLUMN, _COLUMNS - 1):
                item.setToolTip(text)

    def _onCaseChanged(self, case: Case | None) -> None:
        if self._case is not None:
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case = case
        table = self._ui.sliceTable
        count = 0 if case is None else case.sliceCount
        self._isSelecting = True
        table.clearSelection()
        table.setRowCount(count)
        for row in range(count):
            addEmptyRow(table, row, _COLUMNS, numbers=(0, 1, 3))
        self._isSelecting = False
        self._stale, self._reasons = set(range(count)), {}
        self._ui.nextReviewButton.setEnabled(False)
        self._ui.plotButton.setEnabled(case is not None)
        if case is not None:
            case.changed.connect(self._onSlicesChanged)
            self._onMoved(self._workspace.views.current)

    def _onSlicesChanged(self, indices: Any) -> None:
        count = 0 if self._case is None else self._case.sliceCount
        self._stale.update(index for index in indices if index < count)

    def _onScored(self, event: SliceScored) -> None:
        if self._case is not None and event.volume_id == self._case.volumeId:
            self._stale.add(event.slice_index)

    def _onSelected(self) -> None:
        row = self._ui.sliceTable.currentRow()
        if not self._isSelecting and row >= 0:
            self._workspace.views.jumpTo(row)

    def _onMoved(self, index: int | None) -> None:
        if index is None or self._case is None or index >= self._case.sliceCount:
            return
        self._isSelecting = True
        self._ui.sliceTable.selectRow(index)
        self._isSelecting = False
