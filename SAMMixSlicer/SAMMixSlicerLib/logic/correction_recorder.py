"""Saves corrected slices to disk while the user works, for fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import CorrectionsSaved, Finished, Outcome
from SAMMixSlicerLib.worker.mask_commands import SaveCorrections

if TYPE_CHECKING:
    from sammix_core.datasets.correction_file import Entry
    from sammix_core.datasets.correction_set import CorrectionSet


class CorrectionRecorder:
    """Saves the corrections of the current case, and lists the saved ones.

    Args:
        workspace: State shared by the logics.
        install: Knows whether the required packages are installed.

    Attributes:
        changed: Emits when a correction was saved or deleted.
    """

    def __init__(self, workspace: Workspace, install: InstallLogic) -> None:
        self.changed = Signal()
        self._workspace = workspace
        self._install = install
        self._case: Case | None = None
        self._recordedMasks: dict[int, Any] = {}
        self._unsaved: set[int] = set()
        self._pendingRequests: set[int] = set()
        self._openSet: CorrectionSet | None = None
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.worker.on(CorrectionsSaved).connect(self._onSaved)
        workspace.worker.on(Finished).connect(self._onFinished)

    @property
    def target(self) -> str:
        """The structure that the corrections show."""
        return self._workspace.target

    @property
    def folder(self) -> Path:
        """Folder of the correction set."""
        from sammix_core.datasets.correction_set import default_corrections_folder

        return default_corrections_folder(self.target)

    def entries(self) -> list[Entry]:
        """The saved corrections in the order in which they were saved; damaged ones are left out.

        Raises:
            InputError: The set cannot be read.
        """
        return [] if (corrections := self._set()) is None else corrections.entries()

    def delete(self, entryId: str) -> None:
        """Deletes an entry with its pixels.

        Raises:
            InputError: The entry does not exist or cannot be deleted.
        """
        corrections = self._set()
        if corrections is not None:
            corrections.remove(entryId)
        self.changed.emit()

    def accept(self) -> None:
        """Saves the slice in view as it is: a mask of the model that the user has accepted.

        Raises:
            InputError: There is no mask to save.
        """
        case, index = self._workspace.case, self._workspace.views.current
        if case is None or index is None or not (case.states or case.probabilities):
            raise InputError(_("There is nothing to learn from yet. Segment or correct a slice first."))
        self._workspace.prepareCase()
        self._send(case, [index], accepted=True)
        self._workspace.showMessage(_("Slice {index} was saved for fine-tuning.").format(index=index))

    def tick(self) -> None:
        """Saves the corrections since the last call; called by the panel's timer."""
        if not self._unsaved or self._case is None or not self._workspace.parameter.keepCorrections:
            self._unsaved.clear()
            return
        if self._install.missing():
            return
        slices, self._unsaved = sorted(self._unsaved), set()
        case = self._case
        self._workspace.attempt(self._workspace.prepareCase)
        if case.isOpen:
            self._send(case, slices)

    def _send(self, case: Case, slices: list[int], accepted: bool = False) -> None:
        command = SaveCorrections(case.volumeId, tuple(slices), str(self.folder), self.target, accepted)
        self._pendingRequests.add(self._workspace.worker.submit(command))

    def _set(self) -> CorrectionSet | None:
        if self._install.missing():
            return None
        from sammix_core.datasets.correction_set import CorrectionSet, is_correction_set

        if self._openSet is None or self._openSet.folder != self.folder:
            self._openSet = CorrectionSet.open(self.folder) if is_correction_set(self.folder) else None
        return self._openSet

    def _onSlicesChanged(self, indices: Any) -> None:
        case = self._case
        if case is None:
            return
        for index in indices:
            state = case.state(index)
            mask = state.mask if state.corrected else False
            if self._recordedMasks.get(index, False) is not mask:
                self._recordedMasks[index] = mask
                self._unsaved.add(index)

    def _onCaseChanged(self, case: Case | None) -> None:
        if self._case is not None:
            if self._unsaved and self._case.isOpen and self._workspace.parameter.keepCorrections:
                self._send(self._case, sorted(self._unsaved))
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case, self._unsaved = case, set()
        # Earlier corrections were saved or not, as the user had chosen then.
        self._recordedMasks = {} if case is None else {index: case.state(index).mask for index in case.corrected()}
        if case is not None:
            case.changed.connect(self._onSlicesChanged)
        self.changed.emit()

    def _onSaved(self, _event: Any) -> None:
        self._openSet = None  # the worker has written to it
        self.changed.emit()

    def _onFinished(self, event: Finished) -> None:
        if event.request in self._pendingRequests:
            self._pendingRequests.discard(event.request)
            if event.outcome is not Outcome.DONE and event.sentence:
                self._workspace.showMessage(event.sentence, isError=True)
