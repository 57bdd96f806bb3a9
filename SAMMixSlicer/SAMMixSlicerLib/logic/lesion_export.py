"""Files of the lesions that a person has accepted: table and labelmap."""

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


class LesionExport:
    """Writes accepted lesions as they are at that moment; the labelmap is written by the worker.

    Args:
        workspace: What the logics share.
        actions: What is on its way.
        lesions: What is written.
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
            InputError: None was accepted, the ending is another, or the file cannot be written.
        """
        figures = [state.figures for state in self._toExport() if state.figures is not None]
        kind = Path(path).suffix.lower()
        if kind not in (".csv", ".json"):
            raise InputError(_("A table of lesions is written as .csv or .json."))
        check_writable(path)
        text = csv_table(figures) if kind == ".csv" else json.dumps(report(figures), indent=2, allow_nan=False) + "\n"
        write_text_atomic(path, text)
        self._workspace.say(self._wrote(path))

    def labelmap(self, path: str) -> None:
        """Writes liver and accepted lesions as one labelmap: 1 the liver, each lesion one more than its number.

        Raises:
            InputError: None was accepted, the format is unknown, or the folder cannot be written to.
        """
        states = self._toExport()
        found, target = self._lesions.ready(), check_output(path)
        case = found.case
        request = self._workspace.worker.writeLesions(
            case.volumeId,
            case.maskOnGrid(straightIjkToRas(case.volumeNode)),
            {state.number: state.mask for state in states},
            isSpacingKnown(case.volumeNode),
            str(target),
        )
        self._actions.begin(_("Export lesions"), case, {}, request, done=self._wrote(path))

    def _toExport(self) -> list[LesionState]:
        found = self._lesions.list
        if found is None or not found.accepted():
            raise InputError(_("No lesion was accepted yet; what nobody has looked at is not written."))
        found.takeEdits()
        if any(state.figures is None for state in found.accepted()):
            raise InputError(_("A lesion that was changed by hand is still being measured; try again in a moment."))
        return found.accepted()

    def _wrote(self, path: str) -> str:
        name, left = Path(path).name, 0 if self._lesions.list is None else len(self._lesions.list.untouched())
        if not left:
            return _("Wrote {name}.").format(name=name)
        return _("Wrote {name}; {count} candidates that nobody has accepted are not in it.").format(
            name=name, count=left
        )
