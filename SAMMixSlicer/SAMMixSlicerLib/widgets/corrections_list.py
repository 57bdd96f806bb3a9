"""The saved corrections from which fine-tuning learns; the user can delete each of them."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.correction_recorder import CorrectionRecorder
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.new_structure import NewStructure
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter
from SAMMixSlicerLib.widgets.read_only_table import prepareReadOnlyTable, setRow


class CorrectionsList:
    """The table of saved corrections, and the buttons that change it.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        recorder: Saves corrections.
        newStructure: Starts another structure.
        install: Knows whether the required packages are installed.
    """

    def __init__(
        self,
        ui: Any,
        workspace: Workspace,
        recorder: CorrectionRecorder,
        newStructure: NewStructure,
        install: InstallLogic,
    ) -> None:
        self._ui = ui
        self._workspace = workspace
        self._recorder = recorder
        self._install = install
        self._ids: list[str] = []
        prepareReadOnlyTable(ui.correctionsTable, [_("Case"), _("Slice"), _("Mask"), _("Use")], widths=(150, 50, 110))
        ui.keepCheck.connect("toggled(bool)", lambda checked: workspace.update(keepCorrections=checked))
        ui.acceptButton.connect("clicked()", lambda: workspace.attempt(recorder.accept))
        ui.deleteEntryButton.connect("clicked()", self._onDelete)
        ui.newTargetButton.connect(
            "clicked()", lambda: workspace.attempt(lambda: newStructure.start(ui.newTargetEdit.text))
        )
        ui.correctionsTable.connect("itemSelectionChanged()", self._refreshButtons)
        recorder.changed.connect(self.refresh)
        install.finished.connect(lambda _isInstalled, _sentence: self.refresh())
        workspace.parameterChanged.connect(self._onParameter)
        workspace.caseChanged.connect(lambda _case: self._refreshButtons())
        workspace.views.moved.connect(lambda _index: self._refreshButtons())
        self._onParameter(workspace.parameter)
        self.refresh()

    def refresh(self) -> None:
        """Updates the table."""
        entries = self._workspace.attempt(self._recorder.entries) or []
        table = self._ui.correctionsTable
        table.clearSelection()
        table.setRowCount(len(entries))
        self._ids = [entry.id for entry in entries]
        if not self._install.missing():
            self._ui.keepCheck.setToolTip(
                _("Saves each slice that you correct to {folder}, without the patient's name or dates.").format(
                    folder=self._recorder.folder
                )
            )
        sources = {"corrected": _("by hand"), "accepted": _("accepted"), "label": _("from a label")}
        for row, entry in enumerate(entries):
            source = sources.get(str(entry.source), str(entry.source)) if entry.area_px else _("empty")
            use = _("validation") if entry.held_back else _("training")
            setRow(table, row, (entry.case, str(entry.slice_index), source, use), numbers=(1,))
        self._refreshButtons()

    def _refreshButtons(self) -> None:
        row = self._ui.correctionsTable.currentRow()
        selected = bool(self._ui.correctionsTable.selectedItems())
        self._ui.deleteEntryButton.setEnabled(selected and 0 <= row < len(self._ids))
        case = self._workspace.case
        isSliceShown = self._workspace.views.current is not None
        self._ui.acceptButton.setEnabled(case is not None and isSliceShown and bool(case.states))
        self._ui.newTargetButton.setEnabled(self._workspace.volumeNode is not None)

    def _onDelete(self) -> None:
        row = self._ui.correctionsTable.currentRow()
        if 0 <= row < len(self._ids):
            self._workspace.attempt(lambda: self._recorder.delete(self._ids[row]))

    def _onParameter(self, parameter: Parameter) -> None:
        self._ui.keepCheck.setChecked(parameter.keepCorrections)
        if parameter.newTarget and self._ui.newTargetEdit.text != parameter.newTarget:
            self._ui.newTargetEdit.setText(parameter.newTarget)
