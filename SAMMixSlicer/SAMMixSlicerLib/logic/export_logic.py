"""Export of the mask, the boxes and the measurements of the case in work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene import case_node, export
from SAMMixSlicerLib.scene.geometry import volumeFromNode
from SAMMixSlicerLib.statistics import maskStatistics


class ExportLogic:
    """Writes what was made, as it is at that moment.

    Args:
        workspace: What the logics share.
        corrections: Looked at first, so that the last stroke of the editor is in it.
    """

    def __init__(self, workspace: Workspace, corrections: CorrectionLogic) -> None:
        self._workspace = workspace
        self._corrections = corrections

    def labelmap(self) -> Any:
        """A new labelmap volume node.

        Raises:
            InputError: There is no mask.
        """
        case = self._caseWithMask()
        node = export.labelmapNode(case.volumeNode, case.segmentationNode, case.segmentId)
        self._workspace.say(_("Made the labelmap {name}.").format(name=node.GetName()))
        return node

    def labelmapFile(self, path: str) -> Path:
        """A labelmap file; its ending chooses the format.

        Raises:
            InputError: There is no mask, or the file cannot be written.
        """
        case = self._caseWithMask()
        assert case.labelmap is not None
        written = export.writeLabelmapFile(case.labelmap, case.volumeNode, case.target, path)
        self._workspace.say(_("Wrote {name}.").format(name=written.name))
        return written

    def boxes(self, path: str) -> Path:
        """The boxes as a JSON file.

        Raises:
            InputError: There is no box, or the file cannot be written.
        """
        case = self._workspace.case
        if case is None or not len(case.boxes()):
            raise InputError(_("There are no boxes yet."))
        written = export.writeBoxes(case.boxes(), path)
        self._workspace.say(_("Wrote {name}.").format(name=written.name))
        return written

    def statistics(self) -> list[tuple[str, str]]:
        """Titles and values of the mask's measurements; they are put into a table node too.

        Raises:
            InputError: There is no mask.
        """
        case = self._caseWithMask()
        assert case.labelmap is not None
        found = maskStatistics(case.labelmap.readMask(), volumeFromNode(case.volumeNode))
        name = case.segmentationNode.GetSegmentation().GetSegment(case.segmentId).GetName()
        rows = export.statisticsRow(name, found)
        title = _("{name} measurements").format(name=case.volumeNode.GetName())
        table = export.statisticsTable(title, rows, case.node.GetNodeReference(case_node.STATISTICS))
        case.node.SetNodeReferenceID(case_node.STATISTICS, table.GetID())
        return rows

    def _caseWithMask(self) -> Case:
        case = self._workspace.case
        if case is None or case.labelmap is None:
            raise InputError(_("There is no mask yet: press Segment liver."))
        self._corrections.check(case)
        if not case.labelmap.written.any():
            raise InputError(_("The mask is empty."))
        return case
