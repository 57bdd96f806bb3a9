"""Which members of qt, ctk, qMRML and qSlicer classes a module's source uses, read from its syntax tree.

Python does not say of which class a name is, so this follows what can be followed without running anything: the
widgets of the Designer files, objects that are made from a class of qt, ctk or slicer, what is assigned from those, and
the chains that begin at ``slicer.app``. What cannot be followed is not reported.
"""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What the methods that modules chain return
_RETURNS = {
    ("qSlicerApplication", "layoutManager"): "qSlicerLayoutManager",
    ("qSlicerApplication", "moduleManager"): "qSlicerModuleManager",
    ("qSlicerApplication", "ioManager"): "qSlicerIOManager",
    ("qSlicerApplication", "coreIOManager"): "qSlicerCoreIOManager",
    ("qSlicerApplication", "settings"): "QSettings",
    ("qSlicerApplication", "userSettings"): "QSettings",
    ("qSlicerApplication", "style"): "QStyle",
    ("qSlicerApplication", "palette"): "QPalette",
    ("qSlicerLayoutManager", "sliceWidget"): "qMRMLSliceWidget",
    ("qSlicerLayoutManager", "threeDWidget"): "qMRMLThreeDWidget",
    ("qSlicerLayoutManager", "plotWidget"): "qMRMLPlotWidget",
    ("qMRMLSliceWidget", "sliceView"): "qMRMLSliceView",
    ("qMRMLThreeDWidget", "threeDView"): "qMRMLThreeDView",
    ("qMRMLPlotWidget", "plotView"): "qMRMLPlotView",
    ("qMRMLNodeComboBox", "sortFilterProxyModel"): "qMRMLSortFilterProxyModel",
    ("QTableWidget", "horizontalHeader"): "QHeaderView",
    ("QTableWidget", "verticalHeader"): "QHeaderView",
    ("QTableWidget", "item"): "QTableWidgetItem",
    ("QTableWidget", "selectionModel"): "QItemSelectionModel",
}
_SLICER_CLASS = ("qMRML", "qSlicer")


@dataclass(frozen=True)
class Use:
    """A member that is used.

    Attributes:
        class_name: of the object, e.g. "QPushButton".
        member: "" where only the class itself is used.
        signal: the signature, where the member is ``connect`` or ``disconnect``.
        line: in the file.
    """

    class_name: str
    member: str
    signal: str
    line: int


def ui_classes(folder: Path) -> dict[str, str]:
    """The object names of all Designer files in a folder and below, each with its class."""
    found = {}
    for path in sorted(folder.rglob("*.ui")):
        for tag in ("widget", "action", "layout"):
            for element in ET.parse(path).getroot().iter(tag):
                if element.get("name"):
                    found[element.get("name", "")] = element.get("class", "QAction")
    return found


class _Reader:
    """Follows the classes of names through one file."""

    def __init__(self, tree: ast.Module, widgets: dict[str, str]) -> None:
        self._tree = tree
        self._widgets = widgets
        # "name" or ".attribute" -> class. An attribute keeps its class in the whole file, as do local names, unless two
        # places disagree.
        self._known: dict[str, str | None] = {}

    def class_of(self, node: ast.AST) -> str | None:
        """The class of what an expression gives, None where it cannot be followed."""
        if isinstance(node, ast.Call):
            return self._class_of_call(node)
        if isinstance(node, ast.Name):
            return self._known.get(node.id)
        if isinstance(node, ast.Attribute):
            if ast.unparse(node) == "slicer.app":
                return "qSlicerApplication"
            if ast.unparse(node.value).split(".")[-1] in ("ui", "_ui"):
                return self._widgets.get(node.attr)
            return self._known.get(f".{node.attr}")
        return None

    def _class_of_call(self, node: ast.Call) -> str | None:
        made = self.class_named(node.func)
        if made is not None:
            return made
        if isinstance(node.func, ast.Attribute):
            owner = self.class_of(node.func.value)
            return _RETURNS.get((owner, node.func.attr)) if owner else None
        return None

    @staticmethod
    def class_named(node: ast.AST) -> str | None:
        """The class that ``qt.QLabel``, ``ctk.ctkComboBox`` or ``slicer.qMRMLWidget`` names."""
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            return None
        module, name = node.value.id, node.attr
        if module in ("qt", "ctk") or (module == "slicer" and name.startswith(_SLICER_CLASS)):
            return name
        return None

    def learn(self) -> None:
        """Go through the assignments until nothing new is learnt."""
        for _ in range(3):
            for node in ast.walk(self._tree):
                if isinstance(node, ast.Assign) and len(node.targets) == 1:
                    self._assign(node.targets[0], self.class_of(node.value))
                elif isinstance(node, ast.AnnAssign) and node.value is not None:
                    self._assign(node.target, self.class_of(node.value))

    def _assign(self, target: ast.AST, class_name: str | None) -> None:
        if isinstance(target, ast.Name):
            key = target.id
        elif isinstance(target, ast.Attribute):
            key = f".{target.attr}"
        else:
            return
        if class_name is None or self._known.get(key, class_name) != class_name:
            # Assigned from something else too: this name is not followed.
            if key in self._known or class_name is None:
                self._known[key] = None
            return
        self._known[key] = class_name

    def uses(self) -> Iterator[Use]:
        """Every member that is used of a class that is known."""
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Attribute):
                continue
            named = self.class_named(node)
            if named is not None:
                yield Use(named, "", "", node.lineno)
                continue
            owner = self.class_of(node.value) or self.class_named(node.value)
            if owner is not None:
                yield Use(owner, node.attr, "", node.lineno)
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                first, owner = node.args[0], self.class_of(node.func.value)
                if node.func.attr in ("connect", "disconnect") and owner and isinstance(first, ast.Constant):
                    yield Use(owner, node.func.attr, str(first.value), node.lineno)


def uses_in(path: Path, widgets: dict[str, str]) -> list[Use]:
    """What a Python file uses.

    Args:
        path: the file.
        widgets: the classes of the widgets that it reaches as ``ui.<name>``, as ``ui_classes`` gives them.
    """
    reader = _Reader(ast.parse(path.read_text(encoding="utf-8")), widgets)
    reader.learn()
    return list(reader.uses())
