"""A small scripted module, written as modules of Slicer are, for the tests of the host."""

import ctk  # noqa: F401 - must be importable, as in Slicer
import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class HostDemo(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Host demo")
        self.started = 0
        slicer.app.connect("startupCompleted()", self.onStarted)

    def onStarted(self):
        self.started += 1


class HostDemoWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.entered = 0
        self.changes = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/HostDemo.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = HostDemoLogic()
        self.timer = qt.QTimer()
        self.timer.singleShot = True
        self.timer.interval = 1
        self.timer.connect("timeout()", self.onTimer)
        self.ui.addButton.connect("clicked(bool)", self.onAdd)
        self.ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onVolume)
        self.ui.opacity.connect("valueChanged(double)", self.changes.append)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onClosed)
        self.onVolume(self.ui.inputSelector.currentNode())

    def enter(self):
        self.entered += 1

    def cleanup(self):
        self.removeObservers()

    def onClosed(self, caller, event):
        self.ui.status.text = "closed"

    def onVolume(self, node):
        self.ui.addButton.enabled = node is not None

    def onAdd(self):
        self.logic.count += 1
        self.ui.status.text = _("added")
        self.timer.start()

    def onTimer(self):
        self.ui.status.text += " and timed"


class HostDemoLogic(ScriptedLoadableModuleLogic):
    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.count = 0
