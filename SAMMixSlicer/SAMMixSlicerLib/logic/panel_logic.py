"""Creates and connects all logics of the panel."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.box_logic import BoxLogic, Confirm
from SAMMixSlicerLib.logic.carry_logic import CarryLogic
from SAMMixSlicerLib.logic.click_logic import ClickLogic
from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.correction_recorder import CorrectionRecorder
from SAMMixSlicerLib.logic.dicom_export import DicomExport
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
from SAMMixSlicerLib.logic.unlabelled_logic import UnlabelledLogic
from SAMMixSlicerLib.logic.version_logic import VersionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Worker
from SAMMixSlicerLib.worker.commands import Describe


class PanelLogic:
    """All logics of the panel; creating them installs, downloads and starts nothing.

    Args:
        parameterNodeSource: Returns the module's parameter node.
        requirementsFile: `Resources/requirements.txt`.
        confirm: Asks the user a yes-or-no question.
        worker: The computing process; by default one of Slicer's own Python.

    Attributes:
        visited: Emits (isEntered) when the user opens the module, or another one.
    """

    def __init__(
        self,
        parameterNodeSource: Callable[[], Any],
        requirementsFile: Path,
        confirm: Confirm,
        worker: Worker | None = None,
    ) -> None:
        self.visited = Signal()
        self.worker = worker or Worker(pythonInterpreter())
        self.workspace = Workspace(self.worker, parameterNodeSource)
        self.actions = Actions(self.workspace)
        self.run = RunLogic(self.workspace, self.actions)
        self.boxes = BoxLogic(self.workspace, self.actions, confirm)
        self.clicks = ClickLogic(self.workspace, self.actions)
        self.corrections = CorrectionLogic(self.workspace)
        self.carry = CarryLogic(self.workspace, self.actions, self.clicks, self.corrections)
        self.review = ReviewLogic(self.workspace, self.actions)
        self.show = ShowLogic(self.workspace)
        self.surface = SurfaceLogic(self.workspace, self.actions)
        self.install = InstallLogic(requirementsFile)
        dicom = DicomExport(self.workspace, self.actions, self.install, confirm)
        self.export = ExportLogic(self.workspace, self.actions, self.corrections, dicom)
        self.lesions = LesionLogic(self.workspace, self.actions, self.corrections, self.surface)
        self.lesionClicks = LesionClicks(self.workspace, self.actions, self.lesions)
        # A click is for one of them.
        self.clicks.starting.connect(self.lesionClicks.stop)
        self.lesionClicks.starting.connect(self.clicks.stop)
        self.lesionExport = LesionExport(self.workspace, self.actions, self.lesions)
        self.recorder = CorrectionRecorder(self.workspace, self.install)
        self.newStructure = NewStructure(self.workspace, self.actions)
        self.unlabelled = UnlabelledLogic(self.workspace)
        self.fineTuning = FineTuneLogic(
            self.workspace, self.install, self.recorder, self.unlabelled, pythonInterpreter()
        )
        self.versions = VersionLogic(self.workspace, self.install)
        self.workspace.restore()

    def tick(self) -> None:
        """Handles the worker's events, and polls everything that sends no events; called by the panel's timer."""
        self.worker.poll()
        self.clicks.tick()
        self.corrections.tick()
        self.carry.tick()
        self.show.tick()
        self.lesions.tick()
        self.lesionClicks.tick()
        self.recorder.tick()
        self.fineTuning.tick()

    def entered(self) -> None:
        """The user opened the module: asks the worker what is installed."""
        self.visited.emit(True)
        if not self.install.missing():
            self.worker.submit(Describe())
            self.fineTuning.restore()

    def left(self) -> None:
        """The user opened another module: accepts no more clicks in the views."""
        self.clicks.stop()
        self.lesionClicks.stop()
        self.visited.emit(False)

    def teardown(self) -> None:
        """Saves everything into the scene, removes our temporary nodes, and ends the process."""
        self.corrections.teardown()
        self.fineTuning.teardown()
        self.lesionClicks.teardown()
        self.clicks.teardown()
        self.boxes.teardown()
        self.workspace.teardown()
        self.worker.close()


def pythonInterpreter() -> str:
    """Slicer's own Python, PythonSlicer; outside Slicer the running interpreter."""
    return shutil.which("PythonSlicer") or sys.executable
