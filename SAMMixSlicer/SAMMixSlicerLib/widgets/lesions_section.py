"""Section "Lesions": candidates, clicks, the table. Experimental."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from sammix_core.lesions.state import LesionState, LesionStatus
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.lesion_clicks import LesionClicks, Mode
from SAMMixSlicerLib.logic.lesion_export import LesionExport
from SAMMixSlicerLib.logic.lesion_logic import LesionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.lesion_segments import colorOf
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.widgets.plain_table import preparePlainTable, setRow

_LABELMAPS = "Slicer segmentation (*.seg.nrrd);;NIfTI (*.nii.gz);;NRRD (*.nrrd);;MetaImage (*.mha)"
_TABLES = "CSV (*.csv);;JSON, sammix-lesions/1 (*.json)"


class LesionsSection:
    """The table of lesions, and what is done with them.

    Args:
        ui: The panel's widgets by name.
        workspace: What the logics share.
        lesions: Finds and judges.
        clicks: Takes clicks.
        export: Writes.
        actions: What is on its way.
        dialogs: Asks for file names.
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
        self._isOurs = False
        titles = [_("Name"), _("mL"), _("mm"), _("HU"), _("Status")]
        preparePlainTable(ui.lesionTable, titles, widths=(104, 62, 56, 50))
        self._modes = {Mode.ADD: ui.addLesionButton, Mode.GROW: ui.growLesionButton, Mode.TAKE: ui.takeLesionButton}
        for mode, button in self._modes.items():
            button.connect("clicked()", lambda mode=mode: self._onMode(mode))
        self._connect(ui.findLesionsButton, lesions.find)
        self._connect(ui.refineLesionButton, lambda: lesions.refine(clicks.selected))
        self._connect(ui.undoLesionButton, lesions.undo)
        self._connect(ui.redoLesionButton, lesions.redo)
        self._connect(ui.acceptLesionButton, lambda: self._judge(lesions.accept))
        self._connect(ui.rejectLesionButton, lambda: self._judge(lesions.reject))
        ui.stopLesionButton.connect("clicked()", self._onStop)
        ui.lesionTableFileButton.connect("clicked()", self._onTable)
        ui.lesionFileButton.connect("clicked()", self._onLabelmap)
        ui.lesionTable.connect("itemSelectionChanged()", self._onSelected)
        self._shortcuts = [
            self._shortcut("A", lambda: self._judge(lesions.accept)),
            self._shortcut("R", lambda: self._judge(lesions.reject)),
        ]
        self._escape = qt.QShortcut(qt.QKeySequence("Esc"), slicer.util.mainWindow() or ui.lesionTable)
        self._escape.setContext(qt.Qt.ApplicationShortcut)  # views may be in windows of their own
        self._escape.setEnabled(False)  # Esc belongs to others while no clicks are taken
        self._escape.connect("activated()", clicks.stop)
        lesions.changed.connect(self.refresh)
        actions.changed.connect(self._refreshButtons)
        clicks.changed.connect(self._onClicksChanged)
        lesions.progressed.connect(self._onProgress)
        self.refresh()

    def teardown(self) -> None:
        """Removes the shortcut from Slicer's window, which outlives the panel; of two for one key Qt calls neither."""
        self._escape.setEnabled(False)
        self._escape.setParent(None)
        self._escape.deleteLater()

    def refresh(self) -> None:
        """Shows the lesions, and enables what can be done now."""
        found = self._lesions.list
        states = {} if found is None else found.states
        self._isFilling = True
        table = self._ui.lesionTable
        table.setRowCount(len(states))
        self._numbers = list(states)
        words = {
            LesionStatus.CANDIDATE: _("candidate"),
            LesionStatus.ACCEPTED: _("accepted"),
            LesionStatus.REJECTED: _("rejected"),
        }
        for row, (number, state) in enumerate(states.items()):
            figures = _figuresOf(state, {True: "…", False: "–"})
            name = _("Lesion {number}").format(number=number)
            setRow(table, row, (name, *figures, words[state.status]), numbers=(1, 2, 3))
            red, green, blue = (round(255 * share) for share in colorOf(number))
            table.item(row, 0).setData(qt.Qt.DecorationRole, qt.QColor(red, green, blue))
        self._isFilling = False
        self._select(self._clicks.selected if self._clicks.selected in states else 0)
        self._refreshButtons()

    def _refreshButtons(self) -> None:
        ui, found, busy = self._ui, self._lesions.list, self._actions.isBusy
        case = self._workspace.case
        canCompute = found is not None and case.labelmap is not None and not busy
        state = None if found is None else found.state(self._clicks.selected)
        self._escape.setEnabled(self._clicks.mode is not Mode.OFF)
        ui.findLesionsButton.setEnabled(canCompute)
        self._isOurs = self._isOurs and busy
        ui.stopLesionButton.setEnabled(self._isOurs)
        ui.lesionProgress.setVisible(self._isOurs)
        for mode, button in self._modes.items():
            button.setEnabled(found is not None and case.labelmap is not None)
            button.setChecked(self._clicks.mode is mode)
        ui.growLesionButton.setEnabled(state is not None and state.status is not LesionStatus.REJECTED)
        ui.refineLesionButton.setEnabled(canCompute and ui.growLesionButton.enabled)
        ui.acceptLesionButton.setEnabled(state is not None and state.status is not LesionStatus.ACCEPTED and not busy)
        ui.rejectLesionButton.setEnabled(state is not None and state.status is not LesionStatus.REJECTED and not busy)
        for button, word, name in (
            (ui.undoLesionButton, _("Undo"), found.undo.undoName if found else ""),
            (ui.redoLesionButton, _("Redo"), found.undo.redoName if found else ""),
        ):
            button.setEnabled(bool(name) and not busy)
            button.setToolTip(f"{word}: {name}" if name else word)
        for button in (ui.lesionTableFileButton, ui.lesionFileButton):
            button.setEnabled(found is not None and bool(found.accepted()) and not busy)
        ui.lesionLabel.setText(self._sentence())

    def _sentence(self) -> str:
        found = self._lesions.list
        if found is None or self._workspace.case.labelmap is None:
            return _("Segment the liver first.")
        if self._clicks.mode is Mode.ADD:
            return _("Click into a lesion in a slice view; Esc ends it.")
        if self._clicks.mode is Mode.GROW:
            return _("Click what belongs to Lesion {number} too; Esc ends it.").format(number=self._clicks.selected)
        if self._clicks.mode is Mode.TAKE:
            return _("Click what is none of a lesion; Esc ends it.")
        if found.isLiverNewer:
            return _("The liver has changed since; lesions stay as they are. Find candidates looks again.")
        untouched = len(found.untouched())
        if untouched:
            return _("{count} candidates to look at: A accepts, R rejects the one selected.").format(count=untouched)
        accepted = found.accepted()
        if not accepted:
            return _("No lesions yet: find candidates, or add one by a click.")
        known = [state.figures.volume_ml for state in accepted if state.figures and state.figures.volume_ml is not None]
        total = f", {sum(known):.2f} mL" if len(known) == len(accepted) else ""
        return _("{count} accepted{total}.").format(count=len(accepted), total=total)

    def _connect(self, button: Any, action: Any) -> None:
        button.connect("clicked()", lambda: self._workspace.attempt(action))

    def _shortcut(self, key: str, action: Any) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._ui.lesionTable)
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", lambda: self._workspace.attempt(action))
        return shortcut

    def _judge(self, action: Any) -> None:
        number = self._clicks.selected
        if not number:
            return
        wasCandidate = self._lesions.list.state(number).status is LesionStatus.CANDIDATE
        action(number)
        waiting = self._lesions.list.untouched()
        if wasCandidate and waiting:  # on to the next that nobody has looked at
            after = [one for one in waiting if one > number]
            following = (after or waiting)[0]
            self._clicks.select(following)
            self._lesions.jumpTo(following)

    def _onMode(self, mode: Mode) -> None:
        wanted = Mode.OFF if self._clicks.mode is mode else mode
        self._workspace.attempt(lambda: self._clicks.setMode(wanted))
        self._refreshButtons()  # a refused one goes back

    def _onStop(self) -> None:
        self._ui.stopLesionButton.setEnabled(False)
        self._workspace.say(_("Stopping…"))
        self._actions.cancel()

    def _onProgress(self, done: int, total: int) -> None:
        self._isOurs = True
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
        path = self._dialogs.fileToSave(_("Save the table"), self._name("lesions.csv"), _TABLES)
        if path:
            self._workspace.attempt(lambda: self._export.table(path))

    def _onLabelmap(self) -> None:
        path = self._dialogs.fileToSave(_("Save liver and lesions"), self._name("lesions.seg.nrrd"), _LABELMAPS)
        if path:
            self._workspace.attempt(lambda: self._export.labelmap(path))

    def _name(self, ending: str) -> str:
        volumeNode = self._workspace.volumeNode
        return ending if volumeNode is None else f"{volumeNode.GetName()}_{ending}"


def _figuresOf(state: LesionState, words: Mapping[bool, str]) -> tuple[str, str, str]:
    """mL, mm and HU of a lesion for people.

    Args:
        state: The lesion.
        words: What to say where a figure is not there: True while it is being measured, False where it is unknown.
    """
    figures = state.figures
    if figures is None:
        return (words[True],) * 3
    ml = words[False] if figures.volume_ml is None else f"{figures.volume_ml:.2f}"
    mm = words[False] if figures.longest_axial_mm is None else f"{figures.longest_axial_mm:.1f}"
    return ml, mm, f"{figures.mean_hu:.0f}"
