"""Stand-in of slicer.ScriptedLoadableModule: the four base classes of a scripted module, as far as ours uses them."""

from __future__ import annotations

import os
import sys
import unittest
from typing import Any

import qt
import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


class ScriptedLoadableModule:
    """What a module tells Slicer about itself, in the attributes of ``parent``."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        parent.hidden = False
        for suffix in (".svg", ".png"):
            path = self.resourcePath(f"Icons/{self.moduleName}{suffix}")
            if os.path.isfile(path):
                parent.icon = qt.QIcon(path)
                break

    def resourcePath(self, filename: str) -> str:
        """Path of a file in the module's Resources."""
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """HTML with a link to the module's documentation."""
        return f"<p>For more information see the <a href='{docPage or self.moduleName}'>online documentation</a>.</p>"

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        """Run the module's own tests."""
        getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")().runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The module's panel."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, filename: str) -> str:
        """Path of a file in the module's Resources."""
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        """The real one adds the section with Reload and Test in developer mode."""

    def cleanup(self) -> None:
        """Called before the panel goes."""

    def onReload(self) -> None:
        """What the Reload button does."""
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """The module's logic, with its parameter node."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """The module's one parameter node, made at the first call."""
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            if self.isSingletonParameterNode:
                node.SetSingletonTag(self.moduleName)
            node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
            node = scene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The module's own tests."""

    def runTest(self) -> None:
        """Run every method that begins with ``test_``."""
        for name in [name for name in dir(self) if name.startswith("test_")]:
            self.setUp()
            getattr(self, name)()
            self.tearDown()

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        """Show a message for a moment."""
        slicer.util.delayDisplay(message, 0)
