"""Section "Correct": opens the Segment Editor and lists the corrected slices."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.workspace import Workspace

_MAX_LISTED = 12


class CorrectSection:
    """Opens the editor and lists the protected slices.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        correctionLogic: Notices manual corrections.
    """

    def __init__(self, ui: Any, workspace: Workspace, correctionLogic: CorrectionLogic) -> None:
        self._ui = ui
        self._workspace = workspace
        self._case: Any = None
        ui.editorButton.connect("clicked()", lambda: workspace.attempt(correctionLogic.openEditor))
        ui.releaseButton.connect("clicked()", lambda: workspace.attempt(correctionLogic.release))
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.views.moved.connect(lambda _index: self.refresh())
        self._onCaseChanged(workspace.case)

    def refresh(self) -> None:
        """Lists the corrected slices."""
        case, index = self._case, self._workspace.views.current
        corrected = [] if case is None else case.corrected()
        if corrected:
            names = ", ".join(str(number) for number in corrected[:_MAX_LISTED])
            more = _(" and {count} more").format(count=len(corrected) - _MAX_LISTED)
            self._ui.correctLabel.setText(
                _("Corrected by hand and protected: slice {names}{more}.").format(
                    names=names, more=more if len(corrected) > _MAX_LISTED else ""
                )
            )
        else:
            self._ui.correctLabel.setText(_("Slices that you edit in the Segment Editor are protected automatically."))
        self._ui.editorButton.setEnabled(case is not None and case.labelmap is not None)
        self._ui.releaseButton.setEnabled(index in corrected)

    def _onCaseChanged(self, case: Any) -> None:
        if self._case is not None:
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case = case
        if case is not None:
            case.changed.connect(self._onSlicesChanged)
        self.refresh()

    def _onSlicesChanged(self, _indices: Any) -> None:
        self.refresh()
