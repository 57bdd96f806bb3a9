"""qMRMLNodeComboBox: chooses a node of the scene.

The real one is a QComboBox on a model of the scene, and much of what it emits is nobody's choice: the rows go and come
when a scene is loaded or closed, a row is removed, a node is renamed. This one is a QComboBox on a model too, which
changes at the events, in the order and with the priorities of the real one, so that Qt itself decides what follows.
The facts are in ``slicer_facts.json`` under ``node-box-...``.
"""

from __future__ import annotations

from typing import Any

import shiboken6
import vtk
from PySide6.QtCore import Property, QObject, Qt, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from slicer_host.widgets.registry import stand_in

_ID, _ACTION = Qt.UserRole, Qt.UserRole + 1
_BEFORE_OTHERS, _AFTER_OTHERS = 10.0, -10.0


def _option(name: str, type_: Any) -> Any:
    def write(self: Any, value: Any) -> None:
        self._options[name] = value
        self._update_extra_rows()
        self._rebuild_nodes()

    return Property(type_, lambda self: self._options[name], write)


def _row(text: str, node_id: str | None = None, action: str = "") -> QStandardItem:
    item = QStandardItem(text)
    item.setData(node_id, _ID)
    item.setData(action, _ACTION)
    return item


class qMRMLSortFilterProxyModel(QObject):
    """Which nodes a box lists, as far as modules tell it."""

    def __init__(self, box: qMRMLNodeComboBox) -> None:
        super().__init__(box)
        self._box = box
        self._hidden: tuple[str, ...] = ()

    def _hide(self, node_ids: Any) -> None:
        self._hidden = tuple(node_ids)
        self._box._filter_again()

    # PythonQt gives a list of strings as a tuple.
    hiddenNodeIDs = Property("QStringList", lambda self: self._hidden, _hide)


@stand_in
class qMRMLNodeComboBox(QWidget):
    """Lists the nodes of some classes, follows the scene, and creates a node when told to."""

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
        self._model = QStandardItemModel(self)
        self._filter = qMRMLSortFilterProxyModel(self)
        self._combo = QComboBox()
        self._combo.setModel(self._model)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._scene: Any = None
        self._observations: list[tuple[Any, int]] = []
        self._nodes_observed: dict[str, tuple[Any, int]] = {}
        self._is_switching = False
        self._pre, self._post = 0, 0
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
        # 5.10 listens to the index, main to the text; with Qt 5 an index that moves along with its row tells both.
        self._combo.currentIndexChanged.connect(lambda _row: self._emit_current())
        self._combo.activated.connect(self._emit_activated)

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
        self._update_extra_rows()
        self._rebuild_nodes()

    # PythonQt gives a list of strings as a tuple.
    nodeTypes = Property("QStringList", lambda self: tuple(self._types), _set_types)
    currentNodeID = Property(
        str,
        lambda self: self.currentNode().GetID() if self.currentNode() else "",
        lambda self, node_id: self._select(node_id),
    )

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        for observed, tag in self._observations:
            observed.RemoveObserver(tag)
        before = self.currentNodeID
        self._scene, self._observations = scene, []
        self._is_switching = True
        self._rebuild_nodes()
        self._is_switching = False
        self._update_extra_rows()
        if scene is not None:
            for event, slot, priority in (
                (scene.NodeAddedEvent, self._on_added, _BEFORE_OTHERS),
                (scene.NodeAboutToBeRemovedEvent, self._on_about_to_be_removed, _AFTER_OTHERS),
                (scene.EndCloseEvent, self._on_scene_replaced, 0.0),
                (scene.EndImportEvent, self._on_scene_replaced, 0.0),
            ):
                self._observations.append((scene, scene.AddObserver(event, slot, priority)))
        self._select(before)

    def mrmlScene(self) -> Any:
        return self._scene

    def addAttribute(self, nodeType: str, attributeName: str, attributeValue: str | None = None) -> None:
        self._attributes[nodeType] = (attributeName, attributeValue)
        self._rebuild_nodes()

    def currentNode(self) -> Any:
        return self._node_of_row(self._combo.currentIndex)

    def setCurrentNode(self, node: Any) -> None:
        self._select(node.GetID() if hasattr(node, "GetID") else node)

    def setCurrentNodeID(self, nodeID: str) -> None:
        self._select(nodeID)

    def nodeCount(self) -> int:
        return self._model.rowCount() - self._pre - self._post

    def nodeFromIndex(self, index: int) -> Any:
        return self._node_of_row(self._pre + index) if 0 <= index < self.nodeCount() else None

    def addNode(self, nodeType: str | None = None) -> Any:
        node = self._scene.AddNewNodeByClass(nodeType or self._types[0], self._options["baseName"])
        if self._options["selectNodeUponCreation"]:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def sortFilterProxyModel(self) -> qMRMLSortFilterProxyModel:
        return self._filter

    # What is listed

    def _is_listed(self, node: Any) -> bool:
        if node.GetID() in self._filter._hidden:
            return False
        if node.GetHideFromEditors() and not self._options["showHidden"]:
            return False
        for type_ in self._types:
            of_type = node.IsA(type_) if self._options["showChildNodeTypes"] else node.GetClassName() == type_
            if of_type:
                name, value = self._attributes.get(type_, (None, None))
                if name is None or node.GetAttribute(name) == value or (value is None and node.GetAttribute(name)):
                    return True
        return False

    def _listed(self) -> list[Any]:
        if self._scene is None:
            return []
        nodes = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        return [node for node in nodes if self._is_listed(node)]

    def _update_extra_rows(self) -> None:
        """The rows that are no nodes: None above, and what can be done below."""
        none = [_row(self._options["noneDisplay"])] if self._options["noneEnabled"] else []
        self._model.removeRows(0, self._pre)
        for place, item in enumerate(none):
            self._model.insertRow(place, item)
        self._pre = len(none)
        actions = [
            (name, f"{word} {self._types[0].removeprefix('vtkMRML').removesuffix('Node') if self._types else ''}")
            for name, word in (
                ("rename", "Rename current"),
                ("edit", "Edit current"),
                ("add", "Create new"),
                ("remove", "Delete current"),
            )
            if self._scene is not None and self._options[f"{name}Enabled"]
        ]
        current = self._combo.currentIndex
        self._model.removeRows(self._model.rowCount() - self._post, self._post)
        items = [_row("", action="separator")] if actions else []
        items += [_row(text, action=name) for name, text in actions]
        for item in items:
            self._model.appendRow(item)
        self._post = len(items)
        # Rows that are appended to an empty box are selected by Qt; the real one sets its index back, too.
        self._combo.setCurrentIndex(current)

    def _rebuild_nodes(self) -> None:
        for node, tag in self._nodes_observed.values():
            node.RemoveObserver(tag)
        self._nodes_observed = {}
        self._model.removeRows(self._pre, self.nodeCount())
        if self._scene is not None:
            for index in range(self._scene.GetNumberOfNodes()):
                self._take_up(self._scene.GetNthNode(index))

    def _take_up(self, node: Any) -> None:
        """Observes a node of our types, and lists it where it is to be listed."""
        if not any(node.IsA(type_) for type_ in self._types):
            return
        if node.GetID() not in self._nodes_observed:
            tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, _event: self._on_modified(caller))
            self._nodes_observed[node.GetID()] = (node, tag)
        if self._is_listed(node) and self._row_of(node.GetID()) is None:
            before = [one for one in self._listed() if self._row_of(one.GetID()) is not None or one is node]
            self._model.insertRow(self._pre + before.index(node), _row(node.GetName() or "", node.GetID()))

    def _row_of(self, node_id: str | None) -> int | None:
        for row in range(self._pre, self._model.rowCount() - self._post):
            if self._model.item(row).data(_ID) == node_id:
                return row
        return None

    def _node_of_row(self, row: int) -> Any:
        item = self._model.item(row) if row >= 0 else None
        node_id = None if item is None else item.data(_ID)
        return self._scene.GetNodeByID(node_id) if node_id and self._scene is not None else None

    # What the scene does

    def _is_gone(self) -> bool:
        """Whether Qt has deleted the box, which takes the observers of the real one along."""
        if shiboken6.isValid(self._model):
            return False
        for observed, tag in (*self._observations, *self._nodes_observed.values()):
            observed.RemoveObserver(tag)
        self._observations, self._nodes_observed = [], {}
        return True

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_added(self, _scene: Any, _event: str, node: Any) -> None:
        if not self._is_gone() and not self._scene.IsImporting():
            self._take_up(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_about_to_be_removed(self, _scene: Any, _event: str, node: Any) -> None:
        if self._is_gone() or self._scene.IsClosing():
            return
        observed, tag = self._nodes_observed.pop(node.GetID(), (None, 0))
        if observed is not None:
            observed.RemoveObserver(tag)
        row = self._row_of(node.GetID())
        if row is not None:
            self._model.removeRow(row)

    def _on_scene_replaced(self, *_event: Any) -> None:
        if not self._is_gone():
            self._rebuild_nodes()

    def _filter_again(self) -> None:
        for node, _tag in list(self._nodes_observed.values()):
            self._on_modified(node)

    def _on_modified(self, node: Any) -> None:
        if (
            self._is_gone()
            or self._scene.IsClosing()
            or self._scene.IsImporting()
            or not self._scene.IsNodePresent(node)
        ):
            return
        row = self._row_of(node.GetID())
        if not self._is_listed(node):
            if row is not None:
                self._model.removeRow(row)
        elif row is None:
            self._take_up(node)
        elif self._model.item(row).text() != node.GetName():
            self._model.item(row).setText(node.GetName())
            if row == self._combo.currentIndex:
                self._emit_current()

    # What is chosen

    def _select(self, node_id: str | None) -> None:
        row = self._row_of(node_id) if node_id else None
        if row is None:
            self._combo.setCurrentIndex(0 if self._options["noneEnabled"] else -1)
        elif row != self._combo.currentIndex:
            self._combo.setCurrentIndex(row)
            # The real one selects by sending its list a key, which counts as the user's doing.
            self._combo.activated.emit(row)

    def _emit_current(self) -> None:
        if self._is_switching:
            return
        row, node = self._combo.currentIndex, self.currentNode()
        is_none = row == (0 if self._options["noneEnabled"] else -1)
        if node is None and not is_none:
            # It stands on one of the actions: the last node is taken, where there is one.
            if self.nodeCount():
                self.setCurrentNode(self.nodeFromIndex(self.nodeCount() - 1))
            return
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _emit_activated(self, row: int) -> None:
        item = self._model.item(row)
        if item is not None and item.data(_ACTION) == "add":
            self.addNode()
            return
        node = self._node_of_row(row)
        if node is not None or (self._options["noneEnabled"] and row == 0):
            self.nodeActivated.emit(node)
