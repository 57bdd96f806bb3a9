"""Further CTs without labels that fine-tuning learns from: volumes of the scene and folders."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.volume_source import VolumeSource
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.geometry import volumeFromNode
from SAMMixSlicerLib.scene.unlabelled_volume import readChoice, volumeNodes, writeChoice

if TYPE_CHECKING:
    from sammix_core.finetuning import FineTuneRun
    from sammix_core.volume.volume import Volume


@dataclass(frozen=True)
class UnlabelledRow:
    """A volume of the scene, or a folder.

    Attributes:
        key: The node's ID, or the folder's path.
        name: The node's name, or the folder's path.
        isFolder: Whether it is a folder; fine-tuning learns from all CTs in it.
        isUsed: Whether fine-tuning learns from it.
        shows: First and last slice with the structure, in the panel's numbering; None if the user has not said.
        sliceCount: Number of slices; 0 for a folder.
    """

    key: str
    name: str
    isFolder: bool = False
    isUsed: bool = True
    shows: tuple[int, int] | None = None
    sliceCount: int = 0


class UnlabelledLogic:
    """Lists the CTs, and keeps in the scene what the user says of them.

    Args:
        workspace: State shared by the logics.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def rows(self) -> list[UnlabelledRow]:
        """The volumes of the scene that can be used, then the folders."""
        rows = []
        for node in volumeNodes():
            try:
                source = VolumeSource(node)
            except InputError:
                continue  # empty, or not to be placed in the world
            choice = readChoice(node)
            count = source.shapeKji["kji".index(source.sliceAxis)]
            shows = choice.shows(self._workspace.target)
            known = shows if shows is not None and shows[1] < count else None
            rows.append(UnlabelledRow(node.GetID(), node.GetName(), False, choice.isUsed, known, count))
        return rows + [UnlabelledRow(path, path, isFolder=True) for path in self._folders]

    def use(self, row: UnlabelledRow, isUsed: bool) -> None:
        """Notes whether fine-tuning learns from a volume."""
        _note(row, isUsed=isUsed)

    def say(self, row: UnlabelledRow, shows: tuple[int, int] | None) -> None:
        """Notes which slices of a volume show the structure; None takes back what was said."""
        first, last = shows or (-1, -1)
        _note(row, target=self._workspace.target, first=first, last=last)

    def sayFromMask(self, row: UnlabelledRow) -> None:
        """Notes the slices on which the volume's own mask shows the structure.

        Raises:
            InputError: The volume has no mask.
        """
        case = self._workspace.cases.find(row.key)
        states = case.states if case is not None and case.target == self._workspace.target else {}
        shown = [index for index, state in states.items() if state.mask is not None]
        if not shown:
            raise InputError(_("{name} has no mask yet. Segment it first, or enter the slices.").format(name=row.name))
        self.say(row, (min(shown), max(shown)))

    def addFolder(self, path: str) -> None:
        """Adds a folder of CTs.

        Raises:
            InputError: There is no CT in it.
        """
        from sammix_core.finetuning.unlabelled_ct import UnlabelledCt

        UnlabelledCt(Path(path)).found()
        if path not in self._folders:
            self._workspace.update(unlabelledFolders=(*self._folders, path))

    def removeFolder(self, row: UnlabelledRow) -> None:
        """Takes a folder out of the list; nothing on the disk changes."""
        self._workspace.update(unlabelledFolders=tuple(path for path in self._folders if path != row.key))

    def sources(self) -> tuple[str, ...]:
        """The folders, as the settings of a run name them."""
        return self._folders

    def volumes(self, labelled: Collection[str]) -> list[tuple[Volume, tuple[int, int] | None]]:
        """The volumes to learn from, each with its slices that show the structure.

        Args:
            labelled: Keys of the cases with corrections.

        Raises:
            InputError: One is no CT, or has corrections.
        """
        from sammix_core.datasets.correction import case_key

        found = []
        for row in self.rows():
            if row.isUsed and not row.isFolder:
                volume = volumeFromNode(slicer.mrmlScene.GetNodeByID(row.key))
                if case_key(volume) in labelled:
                    raise InputError(
                        _("{name} has saved slices already. Untick it among the CTs without labels.").format(
                            name=row.name
                        )
                    )
                found.append((volume, row.shows))
        return found

    @property
    def _folders(self) -> tuple[str, ...]:
        return self._workspace.parameter.unlabelledFolders


def store(run: FineTuneRun, volumes: list[tuple[Volume, tuple[int, int] | None]]) -> None:
    """Hands volumes over to a run, or removes the run.

    Raises:
        InputError: The disk is full.
    """
    from sammix_core.finetuning.unlabelled_ct import store_ct

    try:
        for volume, shows in volumes:
            store_ct(run.cts_folder, volume, shows)
    except InputError:
        run.remove()
        raise


def _note(row: UnlabelledRow, **changes: Any) -> None:
    """Changes what is noted on a volume; one that has just been removed stays as it is."""
    node = slicer.mrmlScene.GetNodeByID(row.key)
    if node is not None:
        writeChoice(node, replace(readChoice(node), **changes))
