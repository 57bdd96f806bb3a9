"""Exports accepted lesions: table and labelmap."""

from __future__ import annotations

import json
from pathlib import Path

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.files import check_writable, write_text_atomic
from sammix_core.lesions.lesion import csv_table, report
from sammix_core.lesions.state import LesionState
from sammix_core.volume_io.labelmap_writing import check_output
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.lesion_logic import LesionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.geometry import isSpacingKnown, straightIjkToRas
from SAMMixSlicerLib.worker.lesion_commands import WriteLesions


class LesionExport:
    """Exports the accepted lesions; the worker writes the labelmap.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
        lesions: The lesions.
    """

    def __init__(self, workspace: Workspace, actions: Actions, lesions: LesionLogic) -> None:
        self._workspace = workspace
        self._actions = actions
        self._lesions = lesions

    def table(self, path: str) -> None:
        """Writes the table of the accepted lesions.

        Args:
            path: .csv, or .json for `sammix-lesions/1`.

        Raises:
            InputError: No lesion was accepted, the suffix is unknown, or the file cannot be written.
        """
        figures = [state.figures for state in self._acceptedLesions() if state.figures is not None]
        suffix = Path(path).suffix.lower()
        if suffix not in (".csv", ".json"):
            raise InputError(_("Choose .csv or .json for a table of lesions."))
        check_writable(path)
        text = csv_table(figures) if suffix == ".csv" else json.dumps(report(figures), indent=2, allow_nan=False) + "\n"
        write_text_atomic(path, text)
        self._workspace.showMessage(self._message(path))

    def labelmap(self, path: str) -> None:
        """Writes liver and accepted lesions to one labelmap: the liver is 1, a lesion is its number plus one.

        Raises:
            InputError: No lesion was accepted, the format is unknown, or the folder cannot be written to.
        """
        states = self._acceptedLesions()
        case, target = self._lesions.prepare().case, check_output(path)
        command = WriteLesions(
            case.volumeId,
            liver=case.maskOnGrid(straightIjkToRas(case.volumeNode)),
            lesions={state.number: state.mask for state in states},
            spacing_known=isSpacingKnown(case.volumeNode),
            path=str(target),
        )
        request = self._workspace.worker.submit(command)
        self._actions.begin(_("Export lesions"), case, {}, request, done=self._message(path))

    def _acceptedLesions(self) -> list[LesionState]:
        lesions = self._lesions.list
        if lesions is None or not lesions.accepted():
            raise InputError(_("No lesion was accepted yet. Only accepted lesions are exported."))
        lesions.collectEdits()
        if any(state.figures is None for state in lesions.accepted()):
            raise InputError(_("An edited lesion is still being measured. Try again in a moment."))
        return lesions.accepted()

    def _message(self, path: str) -> str:
        name = Path(path).name
        count = 0 if self._lesions.list is None else len(self._lesions.list.unreviewed())
        if not count:
            return _("Wrote {name}.").format(name=name)
        return _("Wrote {name} without {count} candidates that were not accepted.").format(name=name, count=count)
