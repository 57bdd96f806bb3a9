"""All logics of the panel, put together."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.box_logic import BoxLogic, Confirm
from SAMMixSlicerLib.logic.correction_keeper import CorrectionKeeper
from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.export_logic import ExportLogic
from SAMMixSlicerLib.logic.fine_tune_logic import FineTuneLogic
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.lesion_clicks import LesionClicks
from SAMMixSlicerLib.logic.lesion_export import LesionExport
from SAMMixSlicerLib.logic.lesion_logic import LesionLogic
from SAMMixSlicerLib.logic.new_structure import NewStructure
from SAMMixSlicerLib.logic.review_logic import ReviewLogic
from SAMMixSlicerLib.logic.run_logic import RunLogic
from SAMMixSlicerLib.logic.show_logic import ShowLogic
from SAMMixSlicerLib.logic.surface_logic import SurfaceLogic
from SAMMixSlicerLib.logic.version_logic import VersionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.worker import Worker


class PanelLogic:
    """The logics, each made with what it needs; nothing is installed, downloaded or started here.

    Args:
        parameterNodeSource: Gives the module's parameter node.
        requirementsFile: `Resources/requirements.txt`.
        confirm: Asks the user a yes-or-no question.
        worker: Computes; by default a process of Slicer's own Python.
    """

    def __init__(
        self,
        parameterNodeSource: Callable[[], Any],
        requirementsFile: Path,
        confirm: Confirm,
        worker: Worker | None = None,
    ) -> None:
        self.worker = worker or Worker(pythonInterpreter())
        self.workspace = Workspace(self.worker, parameterNodeSource)
        self.actions = Actions(self.workspace)
        self.run = RunLogic(self.workspace, self.actions)
        self.boxes = BoxLogic(self.workspace, self.actions, confirm)
        self.corrections = CorrectionLogic(self.workspace)
        self.review = ReviewLogic(self.workspace, self.actions)
        self.show = ShowLogic(self.workspace)
        self.surface = SurfaceLogic(self.workspace, self.actions)
        self.export = ExportLogic(self.workspace, self.actions, self.corrections)
        self.lesions = LesionLogic(self.workspace, self.actions, self.corrections, self.surface)
        self.lesionClicks = LesionClicks(self.workspace, self.actions, self.lesions)
        self.lesionExport = LesionExport(self.workspace, self.actions, self.lesions)
        self.install = InstallLogic(requirementsFile)
        self.keeper = CorrectionKeeper(self.workspace, self.install)
        self.newStructure = NewStructure(self.workspace, self.actions)
        self.fineTuning = FineTuneLogic(self.workspace, self.install, self.keeper, pythonInterpreter())
        self.versions = VersionLogic(self.workspace, self.install)
        self.workspace.takeUp()

    def tick(self) -> None:
        """Takes what the worker has sent, and looks after what cannot tell by itself."""
        self.worker.poll()
        self.corrections.tick()
        self.show.tick()
        self.lesions.tick()
        self.lesionClicks.tick()
        self.keeper.tick()
        self.fineTuning.tick()

    def entered(self) -> None:
        """The user opened the module: looks what there is, if anything can be computed with."""
        if not self.install.missing():
            self.worker.describe()
            self.fineTuning.takeUp()

    def left(self) -> None:
        """The user opened another module: takes no more clicks in the views."""
        self.lesionClicks.stop()

    def giveUp(self) -> None:
        """Saves everything into the scene, removes our ROI and clicks, and ends the process."""
        self.corrections.giveUp()
        self.fineTuning.giveUp()
        self.lesionClicks.giveUp()
        self.boxes.giveUp()
        self.workspace.giveUp()
        self.worker.close()


def pythonInterpreter() -> str:
    """Slicer's own Python, PythonSlicer; outside Slicer the one that runs."""
    return shutil.which("PythonSlicer") or sys.executable
