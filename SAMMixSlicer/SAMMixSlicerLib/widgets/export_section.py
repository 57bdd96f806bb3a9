"""Section "Export": labelmap, files, boxes, measurements."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.export_logic import ExportLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.widgets.read_only_table import fitHeight, prepareReadOnlyTable, setRow

_DICOM_FORMAT = "DICOM SEG (*.dcm)"
_FORMATS = "NIfTI (*.nii.gz);;NRRD (*.nrrd);;Slicer segmentation (*.seg.nrrd);;MetaImage (*.mha)"


class ExportSection:
    """Buttons and the table of measurements.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        exportLogic: Exports.
        dialogs: File dialogs.
    """

    def __init__(self, ui: Any, workspace: Workspace, exportLogic: ExportLogic, dialogs: Dialogs) -> None:
        self._ui = ui
        self._workspace = workspace
        self._export = exportLogic
        self._dialogs = dialogs
        ui.labelmapButton.connect("clicked()", lambda: workspace.attempt(exportLogic.labelmap))
        ui.fileButton.connect("clicked()", self._onFile)
        ui.boxesFileButton.connect("clicked()", self._onBoxes)
        ui.measureButton.connect("clicked()", lambda: workspace.attempt(exportLogic.measure))
        exportLogic.measured.connect(self._onMeasured)
        table = ui.measurementTable
        prepareReadOnlyTable(table, ["", ""], widths=(150,))
        table.horizontalHeader().hide()
        workspace.caseChanged.connect(self._onCaseChanged)
        self._onCaseChanged(workspace.case)

    def _onFile(self) -> None:
        formats = _FORMATS if self._export.dicom.whyNot() else f"{_FORMATS};;{_DICOM_FORMAT}"
        path = self._dialogs.fileToSave(_("Save the mask"), self._defaultName("liver.nii.gz"), formats)
        if path:
            self._workspace.attempt(lambda: self._export.labelmapFile(path))

    def _onBoxes(self) -> None:
        path = self._dialogs.fileToSave(_("Save the boxes"), self._defaultName("boxes.json"), "JSON (*.json)")
        if path:
            self._workspace.attempt(lambda: self._export.boxes(path))

    def _onMeasured(self, case: Any, rows: list[tuple[str, str]]) -> None:
        if case is not self._workspace.case:
            return
        table = self._ui.measurementTable
        table.setRowCount(len(rows))
        for row, (label, value) in enumerate(rows):
            setRow(table, row, (label, value))
        fitHeight(table, hasTitles=False)
        table.setVisible(True)

    def _defaultName(self, suffix: str) -> str:
        volumeNode = self._workspace.volumeNode
        return suffix if volumeNode is None else f"{volumeNode.GetName()}_{suffix}"

    def _onCaseChanged(self, case: Any) -> None:
        self._ui.measurementTable.setVisible(False)
        for button in (self._ui.labelmapButton, self._ui.fileButton, self._ui.boxesFileButton, self._ui.measureButton):
            button.setEnabled(case is not None)
        # The file dialog offers DICOM only where it can be written; this says why it does not.
        reason = self._export.dicom.whyNot() if case is not None else ""
        self._ui.fileButton.setToolTip(
            _("Save the mask as NIfTI, NRRD, seg.nrrd or, of a CT from DICOM, as DICOM SEG.")
            + (f" {reason}" if reason else "")
        )
