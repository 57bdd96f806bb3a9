"""Shows the model versions, and changes the version in use."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.fine_tune_logic import FineTuneLogic
from SAMMixSlicerLib.logic.version_logic import VersionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.worker import Description


class VersionsRow:
    """A list of versions and a button.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        versions: The model versions.
        fineTuning: Makes new versions.
        dialogs: Asks before using a version that is worse.
    """

    def __init__(
        self, ui: Any, workspace: Workspace, versions: VersionLogic, fineTuning: FineTuneLogic, dialogs: Dialogs
    ) -> None:
        self._ui = ui
        self._workspace = workspace
        self._versions = versions
        self._dialogs = dialogs
        self._specs: list[str] = []
        self._inUse = ""
        ui.versionBox.connect("currentIndexChanged(int)", lambda _index: self._refreshButton())
        ui.useVersionButton.connect("clicked()", self._onUse)
        versions.changed.connect(self.refresh)
        workspace.worker.on(Description).connect(lambda _event: self.refresh())
        fineTuning.finished.connect(lambda result: self.refresh(result.model))
        self.refresh()

    def refresh(self, offered: str = "") -> None:
        """Updates the list of versions.

        Args:
            offered: The version to select; "" for the one that was in use before, so that one click goes back to it.
        """
        target = self._targetOf(offered)
        selected, before = self._selected(), self._inUse
        self._inUse = self._versions.inUse(target)
        self._specs = [model.spec for model in self._versions.versions(target)]
        self._ui.versionBox.clear()
        self._ui.versionBox.addItems(
            [_("{spec} (in use)").format(spec=spec) if spec == self._inUse else spec for spec in self._specs]
        )
        selected = offered or (before if before != self._inUse else selected)
        if selected in self._specs:
            self._ui.versionBox.setCurrentIndex(self._specs.index(selected))
        elif self._inUse in self._specs:
            self._ui.versionBox.setCurrentIndex(self._specs.index(self._inUse))
        self._refreshButton()

    def _targetOf(self, spec: str) -> str:
        if spec:
            from sammix_core.model_store import resolve

            return resolve(spec).manifest.target
        return self._workspace.modelTarget

    def _selected(self) -> str:
        index = self._ui.versionBox.currentIndex
        return self._specs[index] if 0 <= index < len(self._specs) else ""

    def _refreshButton(self) -> None:
        selected = self._selected()
        self._ui.useVersionButton.setEnabled(bool(selected) and selected != self._inUse)

    def _onUse(self) -> None:
        self._workspace.attempt(self._use)

    def _use(self) -> None:
        selected = self._selected()
        warning = self._versions.warning(selected)
        if not warning or self._dialogs.confirm(_("{warning}\n\nUse it anyway?").format(warning=warning)):
            self._versions.use(selected)
