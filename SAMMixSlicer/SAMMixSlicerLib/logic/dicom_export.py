"""Exports the mask of a CT that came from DICOM as DICOM SEG, in the study of the CT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from sammix_core.boxes import BoxSource
from sammix_core.files import check_writable
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.dicom_files import dicomFilesOf, whyNoDicom
from SAMMixSlicerLib.scene.geometry import straightIjkToRas
from SAMMixSlicerLib.scene.segment_output import segmentOf
from SAMMixSlicerLib.worker.mask_commands import WriteDicomSeg


class DicomExport:
    """Writes DICOM SEG; the worker does what takes long.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
        install: Installs highdicom.
        confirm: Asks a yes-or-no question.
    """

    def __init__(
        self, workspace: Workspace, actions: Actions, install: InstallLogic, confirm: Callable[[str], bool]
    ) -> None:
        self._workspace = workspace
        self._actions = actions
        self._install = install
        self._confirm = confirm

    def whyNot(self) -> str:
        """Why the mask of the current CT cannot be written as DICOM, in a sentence; "" where it can."""
        return whyNoDicom(self._workspace.volumeNode)

    def write(self, case: Case, path: str) -> None:
        """Writes the mask of a case as DICOM SEG.

        Where packages are missing, asks the user whether to install them, and writes nothing this time.

        Args:
            case: The case; it has a mask.
            path: The file.

        Raises:
            InputError: The CT did not come from DICOM, its files are gone, or the folder cannot be written to.
        """
        files = dicomFilesOf(case.volumeNode)
        target = check_writable(path)
        question = self._install.dicomQuestion()
        if question:
            if self._confirm(question):
                self._workspace.showMessage(self._install.installDicom())
            return
        command = WriteDicomSeg(
            case.volumeId,
            case.maskOnGrid(straightIjkToRas(case.volumeNode)),
            str(target),
            segmentOf(case.target),
            tuple(files),
            case.model,
            by_person=_isEdited(case),
        )
        request = self._workspace.worker.submit(command)
        self._actions.begin(_("Export"), case, {}, request, done=_("Wrote {name}.").format(name=Path(path).name))


def _isEdited(case: Case) -> bool:
    """Whether a person corrected slices, edited boxes or clicked."""
    return any(
        state.corrected or state.clicks or any(box.source is BoxSource.EDITED for box in state.boxes)
        for state in case.states.values()
    )
