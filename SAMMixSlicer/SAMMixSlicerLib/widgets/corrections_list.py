"""What fine-tuning learns from: the slices that are kept, each to be seen and deleted."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.correction_keeper import CorrectionKeeper
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.new_structure import NewStructure
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter
from SAMMixSlicerLib.widgets.plain_table import preparePlainTable, setRow


class CorrectionsList:
    """The table of kept slices, and what goes into it.

    Args:
        ui: The panel's widgets by name.
        workspace: What the logics share.
        keeper: Keeps slices.
        newStructure: Begins with another structure.
        install: Knows whether anything can be computed.
    """

    def __init__(
        self,
        ui: Any,
        workspace: Workspace,
        keeper: CorrectionKeeper,
        newStructure: NewStructure,
        install: InstallLogic,
    ) -> None:
        self._ui = ui
        self._workspace = workspace
        self._keeper = keeper
        self._install = install
        self._ids: list[str] = []
        preparePlainTable(ui.correctionsTable, [_("Case"), _("Slice"), _("Mask"), _("For")], widths=(150, 50, 110))
        ui.keepCheck.connect("toggled(bool)", lambda checked: workspace.update(keepCorrections=checked))
        ui.acceptButton.connect("clicked()", lambda: workspace.attempt(keeper.accept))
        ui.deleteEntryButton.connect("clicked()", self._onDelete)
        ui.newTargetButton.connect(
            "clicked()", lambda: workspace.attempt(lambda: newStructure.begin(ui.newTargetEdit.text))
        )
        ui.correctionsTable.connect("itemSelectionChanged()", self._refreshButtons)
        keeper.changed.connect(self.refresh)
        install.finished.connect(lambda _isInstalled, _sentence: self.refresh())
        workspace.parameterChanged.connect(self._onParameter)
        workspace.caseChanged.connect(lambda _case: self._refreshButtons())
        workspace.views.moved.connect(lambda _index: self._refreshButtons())
        self._onParameter(workspace.parameter)
        self.refresh()

    def refresh(self) -> None:
        """Shows what is kept."""
        entries = self._workspace.attempt(self._keeper.entries) or []
        table = self._ui.correctionsTable
        table.clearSelection()
        table.setRowCount(len(entries))
        self._ids = [entry.id for entry in entries]
        if not self._install.missing():
            self._ui.keepCheck.setToolTip(
                _("Each slice that you correct is written to {folder}, without a name or date of the patient.").format(
                    folder=self._keeper.folder
                )
            )
        words = {"corrected": _("by hand"), "accepted": _("found right"), "label": _("from a label")}
        for row, entry in enumerate(entries):
            kind = words.get(str(entry.source), str(entry.source)) if entry.area_px else _("nothing here")
            use = _("the check") if entry.held_back else _("learning")
            setRow(table, row, (entry.case, str(entry.slice_index), kind, use), numbers=(1,))
        self._refreshButtons()

    def _refreshButtons(self) -> None:
        row = self._ui.correctionsTable.currentRow()
        selected = bool(self._ui.correctionsTable.selectedItems())
        self._ui.deleteEntryButton.setEnabled(selected and 0 <= row < len(self._ids))
        case = self._workspace.case
        shown = case is not None and self._workspace.views.current is not None
        self._ui.acceptButton.setEnabled(shown and bool(case.states))
        self._ui.newTargetButton.setEnabled(self._workspace.volumeNode is not None)

    def _onDelete(self) -> None:
        row = self._ui.correctionsTable.currentRow()
        if 0 <= row < len(self._ids):
            self._workspace.attempt(lambda: self._keeper.delete(self._ids[row]))

    def _onParameter(self, parameter: Parameter) -> None:
        self._ui.keepCheck.setChecked(parameter.keepCorrections)
        if parameter.newTarget and self._ui.newTargetEdit.text != parameter.newTarget:
            self._ui.newTargetEdit.setText(parameter.newTarget)
