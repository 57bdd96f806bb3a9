"""``qt.QUiLoader``: Designer files with Slicer's widgets in them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtUiTools

from slicer_host.pythonqt.properties import native_object_name
from slicer_host.widgets.registry import WIDGETS


class UiLoader(QtUiTools.QUiLoader):
    """Loads a ``.ui`` file; the classes of qMRML and ctk in it become the stand-ins."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for widget in WIDGETS.values():
            self.registerCustomWidget(widget)

    def load(self, file: Any, parent: Any = None) -> Any:
        """Load from a QFile or a path.

        Raises:
            LookupError: when the file names a widget class that is neither Qt's nor among the stand-ins.
        """
        path = Path(file if isinstance(file, str) else file.fileName())
        tree = ET.fromstring(path.read_bytes())
        self._refuse_unknown_classes(tree)
        # From memory, so that the connections below, which name signals with types of MRML, are made by us alone.
        scene_receivers = self._take_out_scene_connections(tree)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(tree))
        buffer.open(QtCore.QIODevice.ReadOnly)
        self.setWorkingDirectory(QtCore.QDir(str(path.parent)))
        root = super().load(buffer, parent)
        for name in scene_receivers:
            receiver = root if native_object_name(root) == name else root.findChild(QtCore.QObject, name)
            if receiver is None:
                raise LookupError(f"{path.name} connects the scene to {name}, which is not in it")
            root._add_scene_receiver(receiver)
        return root

    def _refuse_unknown_classes(self, tree: ET.Element) -> None:
        known = set(self.availableWidgets()) | {"Line", "QWidget"}
        unknown = {widget.get("class") for widget in tree.iter("widget")} - known
        if unknown:
            raise LookupError(f"no stand-in for {', '.join(sorted(unknown))}: add one under slicer_host/widgets")

    @staticmethod
    def _take_out_scene_connections(tree: ET.Element) -> list[str]:
        """Remove the connections of mrmlSceneChanged, return the names of the widgets that they give the scene to."""
        receivers = []
        for connections in tree.iter("connections"):
            for connection in list(connections):
                if connection.findtext("signal", "").startswith("mrmlSceneChanged"):
                    receivers.append(connection.findtext("receiver", ""))
                    connections.remove(connection)
        return receivers
