"""``slicer.app`` as far as it needs no Qt."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from importlib.metadata import version
from typing import Any

import slicer

from slicer_host.scene.dicom_database import DicomDatabase
from slicer_host.scene.io_manager import IOManager
from slicer_host.scene.modules import ModuleManager


class CoreApplication:
    """Stand-in of qSlicerCoreApplication.

    Args:
        scene: the vtkMRMLScene.
        logic: the vtkSlicerApplicationLogic.
    """

    applicationName = "SlicerHost"

    def __init__(self, scene: Any, logic: Any) -> None:
        self._scene = scene
        self._logic = logic
        self._modules = ModuleManager()
        self._io = IOManager()
        self._dicom = DicomDatabase()
        self.temporaryPath = tempfile.mkdtemp(prefix="slicer_host_")
        atexit.register(shutil.rmtree, self.temporaryPath, ignore_errors=True)
        self.slicerHome = os.path.dirname(slicer.__file__)
        self.majorVersion, self.minorVersion = (int(part) for part in version("slicer-core").split(".")[:2])

    def testingEnabled(self) -> bool:
        """True, so slicer.util opens no message box that nobody would close."""
        return True

    def mrmlScene(self) -> Any:
        """The scene."""
        return self._scene

    def applicationLogic(self) -> Any:
        """The application logic, which knows the selection, the interaction and the slice logics."""
        return self._logic

    def moduleManager(self) -> ModuleManager:
        """What is loaded."""
        return self._modules

    def moduleLogic(self, name: str) -> Any:
        """The logic of a module by its name."""
        module = self._modules.module(name)
        return module.logic() if module else None

    def coreIOManager(self) -> IOManager:
        """Reading and writing files."""
        return self._io

    ioManager = coreIOManager

    def dicomDatabase(self) -> DicomDatabase:
        """Where the files of imported DICOM are."""
        return self._dicom

    def layoutManager(self) -> Any:
        """No views without Qt."""
        return None

    def processEvents(self) -> None:
        """No events without Qt."""

    def setRenderPaused(self, paused: bool) -> None:
        """Nothing is drawn on its own here, so there is nothing to hold back."""

    def pauseRender(self) -> None:
        """See setRenderPaused."""

    def resumeRender(self) -> None:
        """See setRenderPaused."""

    def startupEnvironment(self) -> dict[str, str]:
        """The variables that the application was started with."""
        return dict(os.environ)
