"""The scripted module: what Slicer loads. The work is done in SAMMixSlicerLib and sammix_core."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

_FOLDER = Path(__file__).resolve().parent


class SAMMixSlicer(ScriptedLoadableModule):
    """What the module is called and says of itself."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SAMMix")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor"]
        parent.contributors = ["SAMMix contributors"]
        parent.helpText = _(
            "Segments the liver in CT with no prompt, and lets you correct it through a box on every slice. "
            "For research, not a medical device."
        )
        parent.acknowledgementText = _("Builds on LiteMedSAM (Apache-2.0).")
        slicer.app.connect("startupCompleted()", self._registerSampleData)

    def _registerSampleData(self) -> None:
        _addPaths()
        from SAMMixSlicerLib.sample_data import registerSampleData

        registerSampleData(self.resourcePath("Icons/SAMMixSlicer.png"))


class SAMMixSlicerWidget(ScriptedLoadableModuleWidget):
    """Loads the panel and gives it its logic."""

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
        """The user opened another module: clicks in the views are the other's now."""
        self.logic.panel.left()

    def cleanup(self) -> None:
        """The module goes: saves into the scene and ends the process."""
        if getattr(self, "panel", None) is not None:
            self.panel.stop()
            self.logic.panel.giveUp()
            self.panel = None
            # A reload only hides the widgets, and what they tell would still reach the old logic.
            self.uiWidget.deleteLater()

    def onReload(self) -> None:
        """Developer mode: takes changed files of ours and of the core, too."""
        from SAMMixSlicerLib.core_location import forgetModules

        self.cleanup()  # with the code that made it
        forgetModules()
        ScriptedLoadableModuleWidget.onReload(self)
        if self.parent.isEntered:
            slicer.modules.SAMMixSlicerWidget.enter()  # Slicer enters a reloaded module when it is opened again


class SAMMixSlicerLogic(ScriptedLoadableModuleLogic):
    """The logic for scripts: `SAMMixSlicerLogic().panel` has all that the panel does.

    Args:
        confirm: Asks a yes-or-no question; by default the answer is yes.
    """

    def __init__(self, confirm=None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        _addPaths()
        from SAMMixSlicerLib.logic.panel_logic import PanelLogic

        self.panel = PanelLogic(
            parameterNodeSource=self.getParameterNode,
            requirementsFile=_FOLDER / "Resources" / "requirements.txt",
            confirm=confirm or (lambda _question: True),
        )


class SAMMixSlicerTest(ScriptedLoadableModuleTest):
    """What can be tested in any Slicer, with nothing installed and nothing downloaded."""

    def runTest(self) -> None:
        """Runs all tests."""
        _addPaths()
        from SAMMixSlicerLib.self_test import runAll

        self.setUp()
        runAll()

    def setUp(self) -> None:
        """Begins with an empty scene."""
        slicer.mrmlScene.Clear()


def _addPaths() -> None:
    """Lets `sammix_core` be found where the module runs from the source tree."""
    from SAMMixSlicerLib.core_location import addBundledCore

    addBundledCore(_FOLDER)
