"""Exports the mask, the boxes and the measurements of the current case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.volume_io.dicom_seg import is_dicom_output
from sammix_core.volume_io.labelmap_writing import check_output
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.dicom_export import DicomExport
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene import case_node, export
from SAMMixSlicerLib.scene.geometry import ijkToRas, isSpacingKnown, straightIjkToRas
from SAMMixSlicerLib.scene.segment_output import segmentOf
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, MaskMeasured, Outcome
from SAMMixSlicerLib.worker.mask_commands import MeasureMask, WriteLabelmap


class ExportLogic:
    """Exports the current state; the worker does what takes long.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
        corrections: Checked first, so that the export contains the last stroke of the editor.
        dicom: Writes DICOM SEG.

    Attributes:
        dicom: Writes DICOM SEG; says whether the current CT allows it.
        measured: Emits (case, rows): labels and values of a mask's measurements.
    """

    def __init__(
        self, workspace: Workspace, actions: Actions, corrections: CorrectionLogic, dicom: DicomExport
    ) -> None:
        self.measured = Signal()
        self.dicom = dicom
        self._workspace = workspace
        self._actions = actions
        self._corrections = corrections
        self._measuring: dict[int, Case] = {}
        workspace.worker.on(MaskMeasured).connect(self._onMeasured)
        workspace.worker.on(Finished).connect(self._onFinished)

    def labelmap(self) -> Any:
        """Creates a labelmap volume node.

        Raises:
            InputError: There is no mask.
        """
        case = self._caseWithMask()
        mask = case.maskOnGrid(ijkToRas(case.volumeNode))
        node = export.labelmapNode(case.volumeNode, case.segmentationNode, case.segmentId, mask)
        self._workspace.showMessage(_("Created the labelmap {name}.").format(name=node.GetName()))
        return node

    def labelmapFile(self, path: str) -> None:
        """Writes a labelmap file on the grid of the CT's file, without the CT's parent transforms.

        Args:
            path: The suffix selects the format: .nii.gz, .nii, .nrrd, .mha, .seg.nrrd, or .dcm for a DICOM SEG.

        Raises:
            InputError: There is no mask, the format is unknown, the folder cannot be written to, or a DICOM SEG is
                wanted for a CT that did not come from DICOM.
        """
        case = self._caseWithMask()
        if is_dicom_output(path):
            self.dicom.write(case, path)
            return
        target = check_output(path)
        mask = case.maskOnGrid(straightIjkToRas(case.volumeNode))
        request = self._workspace.worker.submit(
            WriteLabelmap(case.volumeId, mask, isSpacingKnown(case.volumeNode), str(target), segmentOf(case.target))
        )
        self._actions.begin(_("Export"), case, {}, request, done=_("Wrote {name}.").format(name=Path(path).name))

    def boxes(self, path: str) -> Path:
        """Writes the boxes and clicks to a JSON file.

        Raises:
            InputError: There is neither, or the file cannot be written.
        """
        track = None if self._workspace.case is None else self._workspace.case.boxes()
        if track is None or not (len(track) or track.clicks):
            raise InputError(_("There are no boxes yet."))
        written = export.writeBoxes(track, path)
        self._workspace.showMessage(_("Wrote {name}.").format(name=written.name))
        return written

    def measure(self) -> None:
        """Measures the mask: emits `measured`, and fills a table node in the scene.

        Raises:
            InputError: There is no mask.
        """
        case = self._caseWithMask()
        case.open()
        request = self._workspace.worker.submit(MeasureMask(case.volumeId, case.maskOnGrid(ijkToRas(case.volumeNode))))
        self._measuring[request] = case
        self._actions.begin(_("Measure"), case, {}, request, done=_("Measured."))

    def _onMeasured(self, event: MaskMeasured) -> None:
        case = self._measuring.pop(event.request, None)
        if case is None or case is not self._workspace.cases.find(case.volumeId) or case.labelmap is None:
            return
        name = case.segmentationNode.GetSegmentation().GetSegment(case.segmentId).GetName()
        rows = export.statisticsRow(name, event.statistics)
        title = _("{name} measurements").format(name=case.volumeNode.GetName())
        table = export.statisticsTable(title, rows, case.node.GetNodeReference(case_node.STATISTICS))
        case.node.SetNodeReferenceID(case_node.STATISTICS, table.GetID())
        self.measured.emit(case, rows)

    def _onFinished(self, event: Finished) -> None:
        if event.outcome is not Outcome.DONE:
            self._measuring.pop(event.request, None)

    def _caseWithMask(self) -> Case:
        case = self._workspace.case
        if case is None or case.labelmap is None:
            raise InputError(_("There is no mask yet. Press Segment liver."))
        self._corrections.check(case)
        if not case.labelmap.written.any():
            raise InputError(_("The mask is empty."))
        return case
