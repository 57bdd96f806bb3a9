"""qMRMLSegmentEditorWidget: which segment of which segmentation is edited, on which volume."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from slicer_host.widgets.registry import stand_in


@stand_in
class qMRMLSegmentEditorWidget(QWidget):
    """Keeps its choices in a vtkMRMLSegmentEditorNode as the real one does; it has no effects to edit with."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        QVBoxLayout(self).addWidget(QLabel("Segment Editor"))
        self._scene: Any = None
        self._node: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._node = node

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node.SetAndObserveSegmentationNode(node)

    def segmentationNode(self) -> Any:
        return self._node.GetSegmentationNode()

    def setSourceVolumeNode(self, node: Any) -> None:
        self._node.SetAndObserveSourceVolumeNode(node)

    def sourceVolumeNode(self) -> Any:
        return self._node.GetSourceVolumeNode()

    def setCurrentSegmentID(self, segmentID: str) -> None:
        self._node.SetSelectedSegmentID(segmentID)

    def currentSegmentID(self) -> str:
        return self._node.GetSelectedSegmentID()


def make_editor_node() -> Any:
    """The editor node of the Segment Editor module, one a scene."""
    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetSingletonTag("SegmentEditor")
    return slicer.mrmlScene.AddNode(node)
