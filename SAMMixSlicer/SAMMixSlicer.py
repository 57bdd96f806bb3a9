"""The scripted module that Slicer loads; SAMMixSlicerLib and sammix_core implement it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

if TYPE_CHECKING:
    from SAMMixSlicerLib.widgets.panel import Panel

_FOLDER = Path(__file__).resolve().parent


class SAMMixSlicer(ScriptedLoadableModule):
    """Name, category and help of the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SAMMix")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor"]
        parent.contributors = ["SAMMix contributors"]
        parent.helpText = _(
            "Segments the liver in CT without a prompt. Correct the result with boxes and clicks on any slice. "
            "For research, not a medical device."
        )
        parent.acknowledgementText = _("Builds on LiteMedSAM (Apache-2.0).")
        slicer.app.connect("startupCompleted()", self._registerSampleData)

    def _registerSampleData(self) -> None:
        _addPaths()
        from SAMMixSlicerLib.sample_data import registerSampleData

        registerSampleData(self.resourcePath("Icons/SAMMixSlicer.png"))


class SAMMixSlicerWidget(ScriptedLoadableModuleWidget):
    """Loads the panel and connects it to its logic."""

    panel: Panel | None = None

    def setup(self) -> None:
        """Builds the panel; installs, downloads and starts nothing."""
        ScriptedLoadableModuleWidget.setup(self)
        _addPaths()
        from SAMMixSlicerLib.core_location import coreInfo
        from SAMMixSlicerLib.widgets.dialogs import Dialogs
        from SAMMixSlicerLib.widgets.panel import Panel

        self.uiWidget = slicer.util.loadUI(self.resourcePath("UI/SAMMixSlicer.ui"))
        self.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.dialogs = Dialogs()
        self.logic = SAMMixSlicerLogic(confirm=lambda question: self.dialogs.confirm(question))
        self.panel = Panel(self.ui, self.logic.panel, coreInfo(_FOLDER), self.dialogs)

    def enter(self) -> None:
        """The user opened the module."""
        self.logic.panel.entered()

    def exit(self) -> None:
        """The user opened another module: accepts no more clicks in the views."""
        self.logic.panel.left()

    def cleanup(self) -> None:
        """Saves everything into the scene and ends the process, when the module is closed or reloaded."""
        if self.panel is not None:
            self.panel.stop()
            self.logic.panel.teardown()
            self.panel = None
            # Reloading only hides the widgets, and their signals would still reach the old logic.
            self.uiWidget.deleteLater()

    def onReload(self) -> None:
        """Reloads SAMMixSlicerLib and sammix_core, too (developer mode)."""
        from SAMMixSlicerLib.core_location import forgetModules

        self.cleanup()  # before the modules are dropped
        forgetModules()
        ScriptedLoadableModuleWidget.onReload(self)
        if self.parent.isEntered:
            slicer.modules.SAMMixSlicerWidget.enter()  # Slicer enters a reloaded module when it is opened again


class SAMMixSlicerLogic(ScriptedLoadableModuleLogic):
    """The logic for scripts: `SAMMixSlicerLogic().panel` does everything that the panel does.

    Args:
        confirm: Asks the user a yes-or-no question; by default the answer is yes.
    """

    def __init__(self, confirm: Callable[[str], bool] | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        _addPaths()
        from SAMMixSlicerLib.logic.panel_logic import PanelLogic

        self.panel = PanelLogic(
            parameterNodeSource=self.getParameterNode,
            requirementsFile=_FOLDER / "Resources" / "requirements.txt",
            confirm=confirm or (lambda _question: True),
        )


class SAMMixSlicerTest(ScriptedLoadableModuleTest):
    """Tests that run in any Slicer without installing or downloading anything."""

    def runTest(self) -> None:
        """Runs all tests."""
        _addPaths()
        from SAMMixSlicerLib.self_test import runAll

        self.setUp()
        runAll()

    def setUp(self) -> None:
        """Clears the scene."""
        slicer.mrmlScene.Clear()


def _addPaths() -> None:
    """Makes `sammix_core` importable when the module runs from the source tree."""
    from SAMMixSlicerLib.core_location import addBundledCore

    addBundledCore(_FOLDER)
