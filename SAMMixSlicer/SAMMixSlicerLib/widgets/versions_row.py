"""The versions of the model: which one is in use, and one click to another."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.fine_tune_logic import FineTuneLogic
from SAMMixSlicerLib.logic.version_logic import VersionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.widgets.dialogs import Dialogs


class VersionsRow:
    """A list of versions and a button.

    Args:
        ui: The panel's widgets by name.
        workspace: What the logics share.
        versions: The versions.
        fineTuning: Makes new ones.
        dialogs: Asks before a version that is worse is used.
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
        ui.versionBox.connect("currentIndexChanged(int)", lambda _place: self._refreshButton())
        ui.useVersionButton.connect("clicked()", self._onUse)
        versions.changed.connect(self.refresh)
        workspace.worker.described.connect(lambda _event: self.refresh())
        fineTuning.finished.connect(lambda result: self.refresh(result.model))
        self.refresh()

    def refresh(self, offered: str = "") -> None:
        """Lists the versions.

        Args:
            offered: The one to offer; the one before the one in use where it is "", so that one click goes back.
        """
        target = self._targetOf(offered)
        chosen, before = self._chosen(), self._inUse
        self._inUse = self._versions.inUse(target)
        self._specs = [model.spec for model in self._versions.versions(target)]
        self._ui.versionBox.clear()
        self._ui.versionBox.addItems(
            [_("{spec} (in use)").format(spec=spec) if spec == self._inUse else spec for spec in self._specs]
        )
        wanted = offered or (before if before != self._inUse else chosen)
        if wanted in self._specs:
            self._ui.versionBox.setCurrentIndex(self._specs.index(wanted))
        elif self._inUse in self._specs:
            self._ui.versionBox.setCurrentIndex(self._specs.index(self._inUse))
        self._refreshButton()

    def _targetOf(self, spec: str) -> str:
        if spec:
            from sammix_core.model_store import resolve

            return resolve(spec).manifest.target
        return self._workspace.modelTarget

    def _chosen(self) -> str:
        place = self._ui.versionBox.currentIndex
        return self._specs[place] if 0 <= place < len(self._specs) else ""

    def _refreshButton(self) -> None:
        chosen = self._chosen()
        self._ui.useVersionButton.setEnabled(bool(chosen) and chosen != self._inUse)

    def _onUse(self) -> None:
        self._workspace.attempt(self._use)

    def _use(self) -> None:
        chosen = self._chosen()
        warning = self._versions.warning(chosen)
        if not warning or self._dialogs.confirm(_("{warning}\n\nUse it all the same?").format(warning=warning)):
            self._versions.use(chosen)
