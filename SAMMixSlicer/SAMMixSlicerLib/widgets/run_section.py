"""The button "Segment liver", progress, Cancel and the status line."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.volume_io.hounsfield import NotHounsfieldError
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.run_logic import RunLogic
from SAMMixSlicerLib.logic.volume_source import VolumeChangedError
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.worker import ModelLoaded

_ERROR_STYLE = "color: #d0402b;"


class RunSection:
    """Starts and cancels a run, and shows messages.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        runLogic: Segments the volume.
        actions: The actions in progress.
        installLogic: Knows whether the required packages are installed.
        dialogs: Dialogs.
    """

    def __init__(
        self,
        ui: Any,
        workspace: Workspace,
        runLogic: RunLogic,
        actions: Actions,
        installLogic: InstallLogic,
        dialogs: Dialogs,
    ) -> None:
        self._dialogs = dialogs
        self._ui = ui
        self._workspace = workspace
        self._run = runLogic
        self._actions = actions
        self._install = installLogic
        self._isInstalled = not installLogic.missing()
        ui.segmentButton.connect("clicked()", self._onSegment)
        ui.cancelButton.connect("clicked()", self._onCancel)
        actions.changed.connect(self.refresh)
        runLogic.progressed.connect(self._onProgress)
        workspace.messageShown.connect(self._onMessage)
        workspace.caseChanged.connect(lambda _case: self.refresh())
        workspace.choiceChanged.connect(self.refresh)
        workspace.parameterChanged.connect(lambda _parameter: self.refresh())
        workspace.worker.on(ModelLoaded).connect(lambda _event: self.refresh())
        installLogic.finished.connect(self._onInstallFinished)
        self.refresh()

    def refresh(self) -> None:
        """Enables the possible actions."""
        busy = self._actions.isBusy
        isDrawing = bool(self._workspace.parameter.newTarget)
        hasVolume = self._workspace.volumeNode is not None
        self._ui.segmentButton.setEnabled(self._isInstalled and hasVolume and not busy and not isDrawing)
        self._ui.segmentButton.setText(_("Segment {target}").format(target=self._workspace.target))
        self._ui.cancelButton.setEnabled(busy)
        isShown = self._actions.isLong
        if isShown and not self._ui.progressBar.visible:
            self._ui.progressBar.setRange(0, 0)  # nothing of what was shown last
        self._ui.progressBar.setVisible(isShown)

    def _onSegment(self) -> None:
        try:
            self._run.run()
        except (NotHounsfieldError, VolumeChangedError) as error:
            if self._confirm(error):
                self._workspace.attempt(self._run.run)
            else:
                self._workspace.showMessage(str(error), isError=True)
        except InputError as error:
            self._workspace.showMessage(str(error), isError=True)

    def _confirm(self, error: NotHounsfieldError | VolumeChangedError) -> bool:
        """Asks the user about a volume that looks wrong, and does what they answer."""
        if isinstance(error, VolumeChangedError):
            question = _("{reason} Start over with the volume as it is now? Its boxes are dropped.").format(
                reason=error
            )
            answer = self._workspace.startOver
        else:
            question = _("{reason} Are the values Hounsfield units all the same?").format(reason=error)
            answer = self._workspace.takeValuesAsHu
        if not self._dialogs.confirm(question):
            return False
        answer()
        return True

    def _onCancel(self) -> None:
        self._ui.cancelButton.setEnabled(False)
        self._workspace.showMessage(_("Stopping after the current slice…"))
        self._run.cancel()

    def _onProgress(self, text: str, done: int, total: int) -> None:
        self._ui.progressBar.setRange(0, total)
        self._ui.progressBar.setValue(done)
        self._onMessage(text, False)

    def _onMessage(self, sentence: str, isError: bool) -> None:
        self._ui.statusLabel.setStyleSheet(_ERROR_STYLE if isError else "")
        self._ui.statusLabel.setText(sentence)

    def _onInstallFinished(self, isInstalled: bool, _sentence: str) -> None:
        self._isInstalled = isInstalled
        self.refresh()
