"""The module Segment Editor, as far as other modules open it and set what is edited."""

from __future__ import annotations

import sys
from typing import Any

import slicer

from slicer_host.module_widget import qSlicerScriptedLoadableModuleWidget
from slicer_host.scene.modules import Module
from slicer_host.widgets.segment_editor_widget import make_editor_node, qMRMLSegmentEditorWidget


class SegmentEditorWidget:
    """The panel of the module; ``editor`` is where its widget is found in Slicer too."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.editor: Any = None

    def setup(self) -> None:
        """Make the editor."""
        self.editor = qMRMLSegmentEditorWidget()
        self.parent.layout().addWidget(self.editor)
        self.editor.setMRMLScene(slicer.mrmlScene)

    def enter(self) -> None:
        """The editor node goes with a closed scene, so it is looked up each time."""
        self.editor.setMRMLSegmentEditorNode(make_editor_node())


def add_segment_editor(application: Any) -> None:
    """Register the module."""
    module = Module("SegmentEditor", path=__file__)
    application.moduleManager().add(module)
    sys.modules["SegmentEditor"] = sys.modules[__name__]
    panel = qSlicerScriptedLoadableModuleWidget("SegmentEditor")
    module.representation = panel
    panel.reload()
    panel._call("enter")
