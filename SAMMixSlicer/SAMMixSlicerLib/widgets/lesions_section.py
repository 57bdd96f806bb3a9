"""Section "Lesions": candidates, clicks, the table. Experimental."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from sammix_core.lesions.state import LesionState, LesionStatus
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.lesion_clicks import LesionClicks, Mode
from SAMMixSlicerLib.logic.lesion_export import LesionExport
from SAMMixSlicerLib.logic.lesion_logic import LesionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.lesion_segments import colorOf
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.widgets.keys import Keys
from SAMMixSlicerLib.widgets.read_only_table import prepareReadOnlyTable, setRow

_LABELMAPS = "Slicer segmentation (*.seg.nrrd);;NIfTI (*.nii.gz);;NRRD (*.nrrd);;MetaImage (*.mha)"
_TABLES = "CSV (*.csv);;JSON, sammix-lesions/1 (*.json)"


class LesionsSection:
    """The table of lesions, and the buttons that change them.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        lesions: Finds, accepts and rejects lesions.
        clicks: Handles clicks.
        export: Exports.
        actions: The actions in progress.
        dialogs: File dialogs.
    """

    def __init__(
        self,
        ui: Any,
        workspace: Workspace,
        lesions: LesionLogic,
        clicks: LesionClicks,
        export: LesionExport,
        actions: Actions,
        dialogs: Dialogs,
    ) -> None:
        self._ui = ui
        self._workspace = workspace
        self._lesions = lesions
        self._clicks = clicks
        self._export = export
        self._actions = actions
        self._dialogs = dialogs
        self._numbers: list[int] = []
        self._isFilling = False
        self._isLesionAction = False
        titles = [_("Name"), _("mL"), _("mm"), _("HU"), _("Status")]
        prepareReadOnlyTable(ui.lesionTable, titles, widths=(104, 62, 56, 50))
        self._modes = {Mode.ADD: ui.addLesionButton, Mode.GROW: ui.growLesionButton, Mode.SHRINK: ui.takeLesionButton}
        for mode, button in self._modes.items():
            button.connect("clicked()", lambda mode=mode: self._onMode(mode))
        self._connect(ui.findLesionsButton, lesions.find)
        self._connect(ui.refineLesionButton, lambda: lesions.refine(clicks.selected))
        self._connect(ui.undoLesionButton, lesions.undo)
        self._connect(ui.redoLesionButton, lesions.redo)
        self._connect(ui.acceptLesionButton, lambda: self._decide(lesions.accept))
        self._connect(ui.rejectLesionButton, lambda: self._decide(lesions.reject))
        ui.stopLesionButton.connect("clicked()", self._onStop)
        ui.lesionTableFileButton.connect("clicked()", self._onTable)
        ui.lesionFileButton.connect("clicked()", self._onLabelmap)
        ui.lesionTable.connect("itemSelectionChanged()", self._onSelected)
        self._shortcuts = [
            self._shortcut("A", lambda: self._decide(lesions.accept)),
            self._shortcut("R", lambda: self._decide(lesions.reject)),
        ]
        self._escape = Keys(ui.lesionTable)
        self._escape.add("Esc", clicks.stop)
        lesions.changed.connect(self.refresh)
        actions.changed.connect(self._refreshButtons)
        clicks.changed.connect(self._onClicksChanged)
        lesions.progressed.connect(self._onProgress)
        self.refresh()

    def teardown(self) -> None:
        """Removes the key from Slicer's window."""
        self._escape.teardown()

    def refresh(self) -> None:
        """Shows the lesions, and enables the possible actions."""
        lesions = self._lesions.list
        states = {} if lesions is None else lesions.states
        self._isFilling = True
        table = self._ui.lesionTable
        table.setRowCount(len(states))
        self._numbers = list(states)
        statusLabels = {
            LesionStatus.CANDIDATE: _("candidate"),
            LesionStatus.ACCEPTED: _("accepted"),
            LesionStatus.REJECTED: _("rejected"),
        }
        for row, (number, state) in enumerate(states.items()):
            figures = _formattedFigures(state)
            name = _("Lesion {number}").format(number=number)
            setRow(table, row, (name, *figures, statusLabels[state.status]), numbers=(1, 2, 3))
            red, green, blue = (round(255 * share) for share in colorOf(number))
            table.item(row, 0).setData(qt.Qt.DecorationRole, qt.QColor(red, green, blue))
        self._isFilling = False
        self._select(self._clicks.selected if self._clicks.selected in states else 0)
        self._refreshButtons()

    def _refreshButtons(self) -> None:
        ui, lesions, busy = self._ui, self._lesions.list, self._actions.isBusy
        hasLiver = self._hasLiver()
        canCompute = hasLiver and not busy
        state = None if lesions is None else lesions.state(self._clicks.selected)
        self._escape.setEnabled(self._clicks.isOn)  # left to others while no clicks are accepted
        ui.findLesionsButton.setEnabled(canCompute)
        self._isLesionAction = self._isLesionAction and busy
        ui.stopLesionButton.setEnabled(self._isLesionAction)
        ui.lesionProgress.setVisible(self._isLesionAction)
        for mode, button in self._modes.items():
            button.setEnabled(hasLiver)
            button.setChecked(self._clicks.mode is mode)
        ui.growLesionButton.setEnabled(state is not None and state.status is not LesionStatus.REJECTED)
        ui.refineLesionButton.setEnabled(canCompute and ui.growLesionButton.enabled)
        ui.acceptLesionButton.setEnabled(state is not None and state.status is not LesionStatus.ACCEPTED and not busy)
        ui.rejectLesionButton.setEnabled(state is not None and state.status is not LesionStatus.REJECTED and not busy)
        for button, word, name in (
            (ui.undoLesionButton, _("Undo"), lesions.undo.undoName if lesions else ""),
            (ui.redoLesionButton, _("Redo"), lesions.undo.redoName if lesions else ""),
        ):
            button.setEnabled(bool(name) and not busy)
            button.setToolTip(f"{word}: {name}" if name else word)
        for button in (ui.lesionTableFileButton, ui.lesionFileButton):
            button.setEnabled(lesions is not None and bool(lesions.accepted()) and not busy)
        ui.lesionLabel.setText(self._sentence())

    def _hasLiver(self) -> bool:
        case = self._workspace.case
        return self._lesions.list is not None and case is not None and case.labelmap is not None

    def _sentence(self) -> str:
        lesions = self._lesions.list
        if lesions is None or not self._hasLiver():
            return _("Segment the liver first.")
        if self._clicks.mode is Mode.ADD:
            return _("Click a lesion in a slice view. Press Esc to stop.")
        if self._clicks.mode is Mode.GROW:
            return _("Click voxels to add to Lesion {number}. Press Esc to stop.").format(number=self._clicks.selected)
        if self._clicks.mode is Mode.SHRINK:
            return _("Click voxels to remove from a lesion. Press Esc to stop.")
        if lesions.isLiverNewer:
            return _("The liver mask has changed. Press Find candidates to search it again.")
        unreviewed = len(lesions.unreviewed())
        if unreviewed:
            return _("{count} candidates to review. Press A to accept the selected one, R to reject it.").format(
                count=unreviewed
            )
        accepted = lesions.accepted()
        if not accepted:
            return _("No lesions yet. Find candidates, or add one with a click.")
        figures = [state.figures for state in accepted if state.figures is not None]
        volumes = [lesion.volume_ml for lesion in figures if lesion.volume_ml is not None]
        total = f", {sum(volumes):.2f} mL" if len(volumes) == len(accepted) else ""
        return _("{count} accepted{total}.").format(count=len(accepted), total=total)

    def _connect(self, button: Any, action: Any) -> None:
        button.connect("clicked()", lambda: self._workspace.attempt(action))

    def _shortcut(self, key: str, action: Any) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._ui.lesionTable)
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", lambda: self._workspace.attempt(action))
        return shortcut

    def _decide(self, action: Any) -> None:
        number, lesions = self._clicks.selected, self._lesions.list
        state = None if lesions is None else lesions.state(number)
        if lesions is None or state is None:
            return
        wasCandidate = state.status is LesionStatus.CANDIDATE
        action(number)
        unreviewed = lesions.unreviewed()
        if wasCandidate and unreviewed:  # continue with the next candidate
            nextNumber = next((candidate for candidate in unreviewed if candidate > number), unreviewed[0])
            self._clicks.select(nextNumber)
            self._lesions.jumpTo(nextNumber)

    def _onMode(self, mode: Mode) -> None:
        newMode = Mode.OFF if self._clicks.mode is mode else mode
        self._workspace.attempt(lambda: self._clicks.setMode(newMode))
        self._refreshButtons()  # releases the button if the mode was refused

    def _onStop(self) -> None:
        self._ui.stopLesionButton.setEnabled(False)
        self._workspace.showMessage(_("Stopping…"))
        self._actions.cancel()

    def _onProgress(self, done: int, total: int) -> None:
        self._isLesionAction = True
        self._ui.lesionProgress.setRange(0, total)
        self._ui.lesionProgress.setValue(done)
        self._refreshButtons()

    def _onSelected(self) -> None:
        row = self._ui.lesionTable.currentRow()
        if self._isFilling or not 0 <= row < len(self._numbers):
            return
        self._clicks.select(self._numbers[row])
        self._lesions.jumpTo(self._numbers[row])

    def _onClicksChanged(self) -> None:
        self._select(self._clicks.selected)
        self._refreshButtons()

    def _select(self, number: int) -> None:
        table = self._ui.lesionTable
        self._isFilling = True
        if number in self._numbers:
            table.selectRow(self._numbers.index(number))
        else:
            table.clearSelection()
        self._isFilling = False

    def _onTable(self) -> None:
        path = self._dialogs.fileToSave(_("Save the table"), self._defaultName("lesions.csv"), _TABLES)
        if path:
            self._workspace.attempt(lambda: self._export.table(path))

    def _onLabelmap(self) -> None:
        path = self._dialogs.fileToSave(_("Save liver and lesions"), self._defaultName("lesions.seg.nrrd"), _LABELMAPS)
        if path:
            self._workspace.attempt(lambda: self._export.labelmap(path))

    def _defaultName(self, suffix: str) -> str:
        volumeNode = self._workspace.volumeNode
        return suffix if volumeNode is None else f"{volumeNode.GetName()}_{suffix}"


def _formattedFigures(state: LesionState) -> tuple[str, str, str]:
    """mL, mm and HU of a lesion for display; "…" while they are being measured, "–" if they are unknown."""
    figures = state.figures
    if figures is None:
        return ("…",) * 3
    ml = "–" if figures.volume_ml is None else f"{figures.volume_ml:.2f}"
    mm = "–" if figures.longest_axial_mm is None else f"{figures.longest_axial_mm:.1f}"
    return ml, mm, f"{figures.mean_hu:.0f}"
