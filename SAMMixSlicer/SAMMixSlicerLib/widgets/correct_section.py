"""Section "Correct": the Segment Editor, and the slices that were corrected."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.workspace import Workspace

_MOST_NAMED = 12


class CorrectSection:
    """Opens the editor and says which slices are protected.

    Args:
        ui: The panel's widgets by name.
        workspace: What the logics share.
        correctionLogic: Notices corrections.
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
        """Names the corrected slices."""
        case, index = self._case, self._workspace.views.current
        corrected = [] if case is None else case.corrected()
        if corrected:
            names = ", ".join(str(one) for one in corrected[:_MOST_NAMED])
            more = _(" and {count} more").format(count=len(corrected) - _MOST_NAMED)
            self._ui.correctLabel.setText(
                _("Corrected by hand and protected: slice {names}{more}.").format(
                    names=names, more=more if len(corrected) > _MOST_NAMED else ""
                )
            )
        else:
            self._ui.correctLabel.setText(_("Slices that you change in the Segment Editor are noticed and protected."))
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
