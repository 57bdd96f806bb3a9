"""Section "Fine-tune": starts, pauses and stops a run, and shows its curves and its result."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.correction_recorder import CorrectionRecorder
from SAMMixSlicerLib.logic.fine_tune_logic import FineTuneLogic
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.widgets.read_only_table import fitHeight, prepareReadOnlyTable, setRow


class FineTuneSection:
    """Controls a fine-tuning run.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        fineTuning: The run.
        recorder: Lists the corrections.
        install: Knows whether the required packages are installed.
        dialogs: Folder dialog.
    """

    def __init__(
        self,
        ui: Any,
        workspace: Workspace,
        fineTuning: FineTuneLogic,
        recorder: CorrectionRecorder,
        install: InstallLogic,
        dialogs: Dialogs,
    ) -> None:
        self._ui = ui
        self._dialogs = dialogs
        self._workspace = workspace
        self._fineTuning = fineTuning
        self._recorder = recorder
        self._install = install
        prepareReadOnlyTable(ui.figuresTable, [_("Dice"), _("Before"), _("After")], widths=(250, 60))
        ui.fineTuneButton.connect("clicked()", lambda: workspace.attempt(fineTuning.start))
        ui.pauseButton.connect("clicked()", self._onPause)
        ui.stopButton.connect("clicked()", lambda: workspace.attempt(fineTuning.stop))
        ui.curvesButton.connect("clicked()", lambda: fineTuning.plot.show())
        ui.modelNameEdit.connect("textEdited(QString)", lambda text: workspace.update(newModel=text))
        ui.checkFolderEdit.connect("textEdited(QString)", lambda text: workspace.update(checkFolder=text.strip()))
        ui.checkFolderButton.connect("clicked()", self._onFolder)
        fineTuning.changed.connect(self.refresh)
        fineTuning.progressed.connect(self._onProgress)
        recorder.changed.connect(self.refresh)
        install.finished.connect(lambda _isInstalled, _sentence: self.refresh())
        workspace.parameterChanged.connect(self._onParameter)
        self._onParameter(workspace.parameter)
        self.refresh()

    def refresh(self) -> None:
        """Enables the possible actions, and shows the result of the run."""
        ui, fineTuning = self._ui, self._fineTuning
        missing = bool(self._install.missing())
        count = 0 if missing else len(self._workspace.attempt(self._recorder.entries) or [])
        ui.fineTuneButton.setEnabled(count > 0 and not fineTuning.isActive)
        ui.pauseButton.setEnabled(fineTuning.isActive or fineTuning.canResume)
        isWaiting = fineTuning.state == "paused" or fineTuning.canResume
        ui.pauseButton.setText(_("Resume") if isWaiting else _("Pause"))
        ui.stopButton.setEnabled(fineTuning.isActive)
        ui.curvesButton.setEnabled(not fineTuning.plot.isEmpty)
        ui.fineTuneProgress.setVisible(fineTuning.isActive)
        self._showResult()
        sentence = self._sentence(missing, count)
        ui.fineTuneLabel.setText(sentence)
        ui.fineTuneLabel.setVisible(bool(sentence))

    def _sentence(self, missing: bool, count: int) -> str:
        if missing:
            return _("Install the missing packages first (section Input).")
        result = self._fineTuning.result()
        if result is not None:
            return result.sentence
        sentences = {
            "paused": _("Paused."),
            "cancelled": _("Stopped. Press Resume to continue from here."),
            "stopped": _("The process ended early. Press Resume to continue from there."),
            "failed": _("Fine-tuning failed; see the status line."),
        }
        if self._fineTuning.state in sentences:
            return sentences[self._fineTuning.state]
        if self._fineTuning.isActive:
            return self._ui.fineTuneLabel.text
        return (
            ""
            if count
            else _("Correct some slices first. They are saved for fine-tuning. Nothing leaves this computer.")
        )

    def _showResult(self) -> None:
        result = self._fineTuning.result()
        table = self._ui.figuresTable
        table.setVisible(result is not None)
        if result is None:
            return
        rows = result.table()
        table.setRowCount(len(rows))
        for row, (label, before, after) in enumerate(rows):
            setRow(table, row, (label, "–" if before is None else f"{before:.3f}", f"{after:.3f}"), numbers=(1, 2))
        fitHeight(table, hasTitles=True)

    def _onFolder(self) -> None:
        path = self._dialogs.folder(_("Validation cases: CTs with their labels"))
        if path:
            self._workspace.update(checkFolder=path)

    def _onPause(self) -> None:
        if self._fineTuning.state == "paused" or self._fineTuning.canResume:
            self._workspace.attempt(self._fineTuning.resume)
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
