"""The clicks of a case: a table that is there while there are any, and a button that deletes one."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from sammix_core.boxes import Click
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.click_logic import ClickLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.click_points import COLORS
from SAMMixSlicerLib.widgets.read_only_table import fitHeight, prepareReadOnlyTable, setRow

_MAX_ROWS = 5  # further ones are scrolled to


class ClickList:
    """One row for each click.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        clicks: Deletes clicks.
        actions: The actions in progress.
    """

    def __init__(self, ui: Any, workspace: Workspace, clicks: ClickLogic, actions: Actions) -> None:
        self._ui = ui
        self._workspace = workspace
        self._clicks = clicks
        self._listed: tuple[Click, ...] = ()
        self._isFilling = False
        prepareReadOnlyTable(ui.clickTable, [_("Slice"), _("Click"), _("Voxel")], widths=(46, 84))
        ui.clickTable.connect("itemSelectionChanged()", self._onSelected)
        ui.deleteClickButton.connect("clicked()", self._onDelete)
        self._key = qt.QShortcut(qt.QKeySequence("Del"), ui.clickTable)
        self._key.setContext(qt.Qt.WidgetWithChildrenShortcut)
        self._key.connect("activated()", self._onDelete)
        clicks.changed.connect(self.refresh)
        actions.changed.connect(self._refreshButton)
        self.refresh()

    def refresh(self) -> None:
        """Lists the clicks; the selected one stays selected."""
        clicks, selected = self._clicks.clicks, self._selected()
        if clicks != self._listed:
            table, self._isFilling = self._ui.clickTable, True
            table.clearSelection()
            table.setRowCount(len(clicks))
            for row, click in enumerate(clicks):
                kind = _("include") if click.positive else _("exclude")
                setRow(table, row, (str(click.slice_index), kind, f"{click.i}, {click.j}"), numbers=(0,))
                red, green, blue = (round(255 * share) for share in COLORS[click.positive])
                table.item(row, 1).setData(qt.Qt.DecorationRole, qt.QColor(red, green, blue))
            if selected in clicks:
                table.selectRow(clicks.index(selected))
            fitHeight(table, hasTitles=True, limit=_MAX_ROWS)
            self._listed, self._isFilling = clicks, False
        self._ui.clicksFrame.setVisible(bool(clicks))
        self._refreshButton()

    def _refreshButton(self) -> None:
        self._ui.deleteClickButton.setEnabled(self._selected() is not None and not self._clicks.isBusy)

    def _selected(self) -> Click | None:
        row = self._ui.clickTable.currentRow()
        if not self._ui.clickTable.selectedItems() or not 0 <= row < len(self._listed):
            return None
        return self._listed[row]

    def _onSelected(self) -> None:
        click = self._selected()
        if click is not None and not self._isFilling:
            self._workspace.views.jumpTo(click.slice_index)
            self._refreshButton()

    def _onDelete(self) -> None:
        click = self._selected()
        if click is not None:
            self._workspace.attempt(lambda: self._clicks.delete(click))
