"""Corrected slices are kept on disk as the user works, so that fine-tuning can learn from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, Outcome

if TYPE_CHECKING:
    from sammix_core.datasets.correction_file import Entry
    from sammix_core.datasets.correction_set import CorrectionSet


class CorrectionKeeper:
    """Keeps the corrections of the case in work, and lists what is kept.

    Args:
        workspace: What the logics share.
        install: Knows whether the core can be used.

    Attributes:
        changed: Emits when something was kept or deleted.
    """

    def __init__(self, workspace: Workspace, install: InstallLogic) -> None:
        self.changed = Signal()
        self._workspace = workspace
        self._install = install
        self._case: Case | None = None
        self._known: dict[int, Any] = {}
        self._stale: set[int] = set()
        self._sent: set[int] = set()
        self._opened: CorrectionSet | None = None
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.worker.correctionsKept.connect(self._onKept)
        workspace.worker.finished.connect(self._onFinished)

    @property
    def target(self) -> str:
        """What the corrections show."""
        return self._workspace.target

    @property
    def folder(self) -> Path:
        """Where they lie."""
        from sammix_core.datasets.correction_set import default_corrections_folder

        return default_corrections_folder(self.target)

    def entries(self) -> list[Entry]:
        """What is kept, in the order in which it was; damaged ones are left out.

        Raises:
            InputError: The set cannot be read.
        """
        return [] if (found := self._set()) is None else found.entries()

    def delete(self, entryId: str) -> None:
        """Deletes an entry with its pixels.

        Raises:
            InputError: It is not there, or cannot be deleted.
        """
        found = self._set()
        if found is not None:
            found.remove(entryId)
        self.changed.emit()

    def accept(self) -> None:
        """Keeps the slice in view as it is: a mask of the model that the user finds right.

        Raises:
            InputError: There is no mask to keep.
        """
        case, index = self._workspace.case, self._workspace.views.current
        if case is None or index is None or not (case.states or case.probabilities):
            raise InputError(_("There is nothing to learn from yet: segment or correct a slice first."))
        self._workspace.readyCase()
        self._send(case, [index], accepted=True)
        self._workspace.say(_("Slice {index} is kept to learn from.").format(index=index))

    def tick(self) -> None:
        """Sends what was corrected since the last time; called by the panel's timer."""
        if not self._stale or self._case is None or not self._workspace.parameter.keepCorrections:
            self._stale.clear()
            return
        if self._install.missing():
            return
        slices, self._stale = sorted(self._stale), set()
        case = self._case
        self._workspace.attempt(self._workspace.readyCase)
        if case.isOpen:
            self._send(case, slices)

    def _send(self, case: Case, slices: list[int], accepted: bool = False) -> None:
        request = self._workspace.worker.keepCorrections(case.volumeId, slices, str(self.folder), self.target, accepted)
        self._sent.add(request)

    def _set(self) -> CorrectionSet | None:
        if self._install.missing():
            return None
        from sammix_core.datasets.correction_set import CorrectionSet, is_correction_set

        if self._opened is None or self._opened.folder != self.folder:
            self._opened = CorrectionSet.open(self.folder) if is_correction_set(self.folder) else None
        return self._opened

    def _onSlicesChanged(self, indices: Any) -> None:
        case = self._case
        assert case is not None
        for index in indices:
            state = case.state(index)
            now = state.mask if state.corrected else False
            if self._known.get(index, False) is not now:
                self._known[index] = now
                self._stale.add(index)

    def _onCaseChanged(self, case: Case | None) -> None:
        if self._case is not None:
            if self._stale and self._case.isOpen and self._workspace.parameter.keepCorrections:
                self._send(self._case, sorted(self._stale))
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case, self._stale = case, set()
        # What was corrected before was kept then, or not, as the user wanted it.
        self._known = {} if case is None else {index: case.state(index).mask for index in case.corrected()}
        if case is not None:
            case.changed.connect(self._onSlicesChanged)
        self.changed.emit()

    def _onKept(self, _event: Any) -> None:
        self._opened = None  # the worker has written it
        self.changed.emit()

    def _onFinished(self, event: Finished) -> None:
        if event.request in self._sent:
            self._sent.discard(event.request)
            if event.outcome is not Outcome.DONE and event.sentence:
                self._workspace.say(event.sentence, isError=True)
