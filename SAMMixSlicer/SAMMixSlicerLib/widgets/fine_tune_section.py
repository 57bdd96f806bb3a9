"""Section "Fine-tune": a run started, paused and stopped, its curves, and both figures side by side."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.correction_keeper import CorrectionKeeper
from SAMMixSlicerLib.logic.fine_tune_logic import FineTuneLogic
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.widgets.plain_table import fitHeight, preparePlainTable, setRow


class FineTuneSection:
    """Starts and watches a run.

    Args:
        ui: The panel's widgets by name.
        workspace: What the logics share.
        fineTuning: The run.
        keeper: Knows what there is to learn from.
        install: Knows whether anything can be computed.
        dialogs: Asks for a folder.
    """

    def __init__(
        self,
        ui: Any,
        workspace: Workspace,
        fineTuning: FineTuneLogic,
        keeper: CorrectionKeeper,
        install: InstallLogic,
        dialogs: Dialogs,
    ) -> None:
        self._ui = ui
        self._dialogs = dialogs
        self._workspace = workspace
        self._fineTuning = fineTuning
        self._keeper = keeper
        self._install = install
        preparePlainTable(ui.figuresTable, [_("Dice"), _("Before"), _("After")], widths=(250, 60))
        ui.fineTuneButton.connect("clicked()", lambda: workspace.attempt(fineTuning.start))
        ui.pauseButton.connect("clicked()", self._onPause)
        ui.stopButton.connect("clicked()", lambda: workspace.attempt(fineTuning.stop))
        ui.curvesButton.connect("clicked()", lambda: fineTuning.plot.show())
        ui.modelNameEdit.connect("textEdited(QString)", lambda text: workspace.update(newModel=text))
        ui.checkFolderEdit.connect("textEdited(QString)", lambda text: workspace.update(checkFolder=text.strip()))
        ui.checkFolderButton.connect("clicked()", self._onFolder)
        fineTuning.changed.connect(self.refresh)
        fineTuning.progressed.connect(self._onProgress)
        keeper.changed.connect(self.refresh)
        install.finished.connect(lambda _isInstalled, _sentence: self.refresh())
        workspace.parameterChanged.connect(self._onParameter)
        self._onParameter(workspace.parameter)
        self.refresh()

    def refresh(self) -> None:
        """Enables what can be done now, and shows what the run came to."""
        ui, fineTuning = self._ui, self._fineTuning
        missing = bool(self._install.missing())
        count = 0 if missing else len(self._workspace.attempt(self._keeper.entries) or [])
        ui.fineTuneButton.setEnabled(count > 0 and not fineTuning.isGoing)
        ui.pauseButton.setEnabled(fineTuning.isGoing or fineTuning.canGoOn)
        waits = fineTuning.state == "paused" or fineTuning.canGoOn
        ui.pauseButton.setText(_("Resume") if waits else _("Pause"))
        ui.stopButton.setEnabled(fineTuning.isGoing)
        ui.curvesButton.setEnabled(not fineTuning.plot.isEmpty)
        ui.fineTuneProgress.setVisible(fineTuning.isGoing)
        self._showResult()
        sentence = self._sentence(missing, count)
        ui.fineTuneLabel.setText(sentence)
        ui.fineTuneLabel.setVisible(bool(sentence))

    def _sentence(self, missing: bool, count: int) -> str:
        if missing:
            return _("Install what is missing first (section Input).")
        result = self._fineTuning.result()
        if result is not None:
            return result.sentence
        words = {
            "paused": _("Paused."),
            "cancelled": _("Stopped; what was done is kept. Resume goes on from there."),
            "stopped": _("The process ended before it was done. Resume goes on from there."),
            "failed": _("Fine-tuning could not go on; the line above says why."),
        }
        if self._fineTuning.state in words:
            return words[self._fineTuning.state]
        if self._fineTuning.isGoing:
            return self._ui.fineTuneLabel.text
        return "" if count else _("Correct some slices; they are kept to learn from. Nothing leaves this computer.")

    def _showResult(self) -> None:
        result = self._fineTuning.result()
        table = self._ui.figuresTable
        table.setVisible(result is not None)
        if result is None:
            return
        rows = result.table()
        table.setRowCount(len(rows))
        for place, (label, before, after) in enumerate(rows):
            setRow(table, place, (label, "–" if before is None else f"{before:.3f}", f"{after:.3f}"), numbers=(1, 2))
        fitHeight(table)

    def _onFolder(self) -> None:
        path = self._dialogs.folder(_("Cases to check on: CTs with their labels"))
        if path:
            self._workspace.update(checkFolder=path)

    def _onPause(self) -> None:
        if self._fineTuning.state == "paused" or self._fineTuning.canGoOn:
            self._workspace.attempt(self._fineTuning.goOn)
        else:
            self._workspace.attempt(self._fineTuning.pause)

    def _onProgress(self, sentence: str, done: int, total: int) -> None:
        self._ui.fineTuneProgress.setRange(0, total)
        self._ui.fineTuneProgress.setValue(done)
        self._ui.fineTuneLabel.setText(sentence)
        self._ui.fineTuneLabel.setVisible(True)
        self._ui.curvesButton.setEnabled(not self._fineTuning.plot.isEmpty)

    def _onParameter(self, parameter: Parameter) -> None:
        if self._ui.modelNameEdit.text != parameter.newModel:
            self._ui.modelNameEdit.setText(parameter.newModel)
        if self._ui.checkFolderEdit.text.strip() != parameter.checkFolder:
            self._ui.checkFolderEdit.setText(parameter.checkFolder)
