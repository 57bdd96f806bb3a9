"""Section "Further CTs without labels" in "Fine-tune": what to learn from besides the saved slices."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.unlabelled_logic import UnlabelledLogic, UnlabelledRow
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.widgets.read_only_table import fitHeight, prepareReadOnlyTable, setRow

_MAX_ROWS = 6  # further ones are scrolled to


class UnlabelledSection:
    """A table of the CTs, and what the user says of the selected one.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        unlabelled: Lists the CTs.
        dialogs: Folder dialog.
    """

    def __init__(self, ui: Any, workspace: Workspace, unlabelled: UnlabelledLogic, dialogs: Dialogs) -> None:
        self._ui = ui
        self._workspace = workspace
        self._unlabelled = unlabelled
        self._dialogs = dialogs
        self._listed: tuple[str, list[UnlabelledRow]] = ("", [])
        self._isFilling = False
        prepareReadOnlyTable(ui.unlabelledTable, [_("CT"), _("Use"), _("Slices")], widths=(220, 50))
        ui.unlabelledTable.connect("itemSelectionChanged()", self._showSelected)
        ui.unlabelledSection.connect("contentsCollapsed(bool)", lambda _isCollapsed: self.tick())
        ui.useUnlabelledCheck.connect("clicked(bool)", self._onUse)
        ui.showsCheck.connect("clicked(bool)", lambda _checked: self._onRange())
        ui.firstSliceSpin.connect("valueChanged(int)", lambda _value: self._onRange())
        ui.lastSliceSpin.connect("valueChanged(int)", lambda _value: self._onRange())
        ui.rangeFromMaskButton.connect("clicked()", self._onMask)
        ui.addUnlabelledFolderButton.connect("clicked()", self._onAdd)
        ui.removeUnlabelledFolderButton.connect("clicked()", self._onRemove)
        self._showSelected()

    def tick(self) -> None:
        """Lists what is in the scene now, while the section is open; called by the panel's timer."""
        # Volumes are loaded, renamed and removed by all modules, and get their voxels after they are added.
        if not self._ui.unlabelledSection.collapsed:
            self._refresh()

    def _refresh(self) -> None:
        listed = (self._workspace.target, self._unlabelled.rows())
        if listed == self._listed:
            return
        selected = self._selected()
        target, rows = self._listed = listed
        table, self._isFilling = self._ui.unlabelledTable, True
        table.clearSelection()
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            slices = "–" if row.shows is None else f"{row.shows[0]}–{row.shows[1]}"
            setRow(table, number, (row.name, _("yes") if row.isUsed else _("no"), slices))
        keys = [row.key for row in rows]
        if selected is not None and selected.key in keys:
            table.selectRow(keys.index(selected.key))
        fitHeight(table, hasTitles=True, limit=_MAX_ROWS)
        self._ui.showsCheck.setText(_("It shows the {target} on slices").format(target=target))
        self._isFilling = False
        self._showSelected()

    def _selected(self) -> UnlabelledRow | None:
        table, rows = self._ui.unlabelledTable, self._listed[1]
        row = table.currentRow()
        return rows[row] if table.selectedItems() and 0 <= row < len(rows) else None

    def _showSelected(self) -> None:
        if self._isFilling:
            return
        ui, row, self._isFilling = self._ui, self._selected(), True
        isVolume = row is not None and not row.isFolder
        ui.useUnlabelledCheck.setEnabled(isVolume)
        ui.useUnlabelledCheck.setChecked(row is not None and row.isUsed)
        isUsedVolume = isVolume and row is not None and row.isUsed
        ui.showsCheck.setEnabled(isUsedVolume)
        ui.rangeFromMaskButton.setEnabled(isUsedVolume)
        shows = None if row is None else row.shows
        ui.showsCheck.setChecked(shows is not None)
        last = max(0, (0 if row is None else row.sliceCount) - 1)
        for spin, value in zip((ui.firstSliceSpin, ui.lastSliceSpin), shows or (0, last), strict=True):
            spin.setEnabled(shows is not None)
            spin.setRange(0, last)
            spin.setValue(value)
        ui.removeUnlabelledFolderButton.setEnabled(row is not None and row.isFolder)
        self._isFilling = False

    def _onUse(self, checked: bool) -> None:
        row = self._selected()
        if row is not None:
            self._unlabelled.use(row, checked)
            self._refresh()

    def _onRange(self) -> None:
        row, ui = self._selected(), self._ui
        if row is None or self._isFilling:
            return
        first, last = ui.firstSliceSpin.value, ui.lastSliceSpin.value
        if last < first:  # the one that was changed takes the other along
            isFirstChanged = row.shows is None or first != row.shows[0]
            first, last = (first, first) if isFirstChanged else (last, last)
        self._unlabelled.say(row, (first, last) if ui.showsCheck.checked else None)
        self._refresh()

    def _onMask(self) -> None:
        row = self._selected()
        if row is not None:
            self._workspace.attempt(lambda: self._unlabelled.sayFromMask(row))
            self._refresh()

    def _onAdd(self) -> None:
        path = self._dialogs.folder(_("Folder of CTs without labels"))
        if path:
            self._workspace.attempt(lambda: self._unlabelled.addFolder(path))
            self._refresh()

    def _onRemove(self) -> None:
        row = self._selected()
        if row is not None:
            self._unlabelled.removeFolder(row)
            self._refresh()
