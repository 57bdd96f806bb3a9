"""Section "About": versions, folder of the core, local weights."""

from __future__ import annotations

from html import escape
from typing import Any

import slicer
from slicer.i18n import tr as _

from SAMMixSlicerLib.core_location import CoreInfo
from SAMMixSlicerLib.logic.diagnostics import Diagnostics
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter
from SAMMixSlicerLib.widgets.dialogs import Dialogs


class AboutSection:
    """Shows versions, and lets the user choose local weights.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        core: The core in use.
        dialogs: File dialogs.
        diagnostics: The report for the developers.
    """

    def __init__(
        self, ui: Any, workspace: Workspace, core: CoreInfo, dialogs: Dialogs, diagnostics: Diagnostics
    ) -> None:
        self._ui = ui
        self._workspace = workspace
        self._core = core
        self._dialogs = dialogs
        self._diagnostics = diagnostics
        ui.copyReportButton.connect("clicked()", self._onCopyReport)
        ui.weightsButton.connect("clicked()", self._onWeights)
        workspace.parameterChanged.connect(self.refresh)
        self.refresh(workspace.parameter)

    def refresh(self, parameter: Parameter) -> None:
        """Updates the text."""
        core = self._core
        lines = [
            "<b>" + _("For research, not a medical device.") + "</b>",
            _("SAMMix {version} in {folder}").format(version=core.version, folder=escape(str(core.folder))),
        ]
        if core.isShadowed:
            lines.append(
                "<b>"
                + _(
                    "A sammix_core installed with pip replaces the bundled version {bundled}. "
                    "If something goes wrong, uninstall it: pip_uninstall('sammix')."
                ).format(bundled=core.bundledVersion)
                + "</b>"
            )
        if parameter.baseWeights:
            lines.append(_("Base weights: {path}").format(path=escape(parameter.baseWeights)))
        lines.append(_("Nothing leaves this computer."))
        self._ui.aboutLabel.setText("<br>".join(lines))
        self._ui.weightsButton.setText(
            _("Use the installed weights") if parameter.baseWeights else _("Use a local weights file…")
        )

    def _onCopyReport(self) -> None:
        slicer.app.clipboard().setText(self._diagnostics.report())
        self._workspace.showMessage(
            _("Copied, without names of data, paths of files and long numbers. Read it before you send it.")
        )

    def _onWeights(self) -> None:
        if self._workspace.parameter.baseWeights:
            self._workspace.update(baseWeights="")
            return
        path = self._dialogs.fileToOpen(_("Weights of LiteMedSAM"), "PyTorch (*.pth *.pt)")
        if path:
            self._workspace.update(baseWeights=path)
