"""qMRMLNodeComboBox: chooses a node of the scene."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from slicer_host.widgets.registry import stand_in

_CREATE = "Create new "


def _option(name: str, type_: Any) -> Any:
    def write(self: Any, value: Any) -> None:
        self._options[name] = value
        self._refresh()

    return Property(type_, lambda self: self._options[name], write)


@stand_in
class qMRMLNodeComboBox(QWidget):
    """Lists the nodes of some classes, follows the scene, and creates a node when asked to."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAddedByUser = Signal(object)
    SIGNATURES = (
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeIDChanged(QString)",
        "nodeActivated(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = QComboBox()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._scene: Any = None
        self._observations: list[int] = []
        self._ids: list[str | None] = []
        self._current: str | None = None
        self._types: list[str] = []
        self._attributes: dict[str, tuple[str, str | None]] = {}
        self._options: dict[str, Any] = {
            "showHidden": False,
            "noneEnabled": False,
            "addEnabled": True,
            "removeEnabled": True,
            "renameEnabled": False,
            "editEnabled": False,
            "selectNodeUponCreation": True,
            "showChildNodeTypes": True,
            "noneDisplay": "None",
            "baseName": "",
        }
        self._combo.activated.connect(self._activate)

    showHidden = _option("showHidden", bool)
    noneEnabled = _option("noneEnabled", bool)
    addEnabled = _option("addEnabled", bool)
    removeEnabled = _option("removeEnabled", bool)
    renameEnabled = _option("renameEnabled", bool)
    editEnabled = _option("editEnabled", bool)
    selectNodeUponCreation = _option("selectNodeUponCreation", bool)
    showChildNodeTypes = _option("showChildNodeTypes", bool)
    noneDisplay = _option("noneDisplay", str)
    baseName = _option("baseName", str)

    def _set_types(self, types: Any) -> None:
        self._types = list(types)
        self._refresh()

    # PythonQt gives a list of strings as a tuple.
    nodeTypes = Property("QStringList", lambda self: tuple(self._types), _set_types)
    currentNodeID = Property(str, lambda self: self._current or "", lambda self, node_id: self._select(node_id or None))

    def setMRMLScene(self, scene: Any) -> None:
        if self._scene is not None:
            for observation in self._observations:
                self._scene.RemoveObserver(observation)
        self._scene, self._observations = scene, []
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent):
                self._observations.append(scene.AddObserver(event, lambda *_: self._refresh()))
        self._refresh()

    def mrmlScene(self) -> Any:
        return self._scene

    def addAttribute(self, nodeType: str, attributeName: str, attributeValue: str | None = None) -> None:
        self._attributes[nodeType] = (attributeName, attributeValue)
        self._refresh()

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self._select(node.GetID() if hasattr(node, "GetID") else node)

    def setCurrentNodeID(self, nodeID: str) -> None:
        self._select(nodeID or None)

    def nodeCount(self) -> int:
        return len([node_id for node_id in self._ids if node_id])

    def nodeFromIndex(self, index: int) -> Any:
        return self._scene.GetNodeByID([node_id for node_id in self._ids if node_id][index])

    def addNode(self, nodeType: str | None = None) -> Any:
        node = self._scene.AddNewNodeByClass(nodeType or self._types[0], self._options["baseName"])
        if self._options["selectNodeUponCreation"]:
            self._select(node.GetID())
        self.nodeAddedByUser.emit(node)
        return node

    def _listed(self, node: Any, type_: str) -> bool:
        if node.GetHideFromEditors() and not self._options["showHidden"]:
            return False
        if not self._options["showChildNodeTypes"] and node.GetClassName() != type_:
            return False
        name, value = self._attributes.get(type_, (None, None))
        if name is None:
            return True
        return node.GetAttribute(name) is not None if value is None else node.GetAttribute(name) == value

    def _refresh(self) -> None:
        if self._scene is None:
            return
        nodes = [
            node
            for type_ in self._types
            for node in slicer.util.getNodesByClass(type_, self._scene)
            if self._listed(node, type_)
        ]
        none = [None] if self._options["noneEnabled"] or not nodes else []
        self._ids = none + [node.GetID() for node in nodes]
        texts = [self._options["noneDisplay"]] * len(none) + [node.GetName() for node in nodes]
        if self._options["addEnabled"] and self._types:
            texts.append(_CREATE + self._types[0].removeprefix("vtkMRML").removesuffix("Node"))
        self._combo.blockSignals(True)
        self._combo.clear()
        self._combo.addItems(texts)
        self._combo.blockSignals(False)
        # As the real one does: without "None" in the list, the first node becomes the current one.
        self._select(self._current if self._current in self._ids else self._ids[0])

    def _select(self, node_id: str | None) -> None:
        if node_id not in self._ids:
            node_id = None
        if node_id in self._ids:
            self._combo.blockSignals(True)
            self._combo.setCurrentIndex(self._ids.index(node_id))
            self._combo.blockSignals(False)
        if node_id != self._current:
            self._current = node_id
            self.currentNodeIDChanged.emit(node_id or "")
            self.currentNodeChanged.emit(self.currentNode())

    def _activate(self, index: int) -> None:
        if index >= len(self._ids):
            self.addNode()
            return
        self._select(self._ids[index])
        self.nodeActivated.emit(self.currentNode())
