"""qMRMLThreeDWidget and qMRMLThreeDView: a 3-D view in a window."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QWidget

from slicer_host.views.threed_view import ThreeDView
from slicer_host.widgets.registry import stand_in
from slicer_host.widgets.view_widget import ViewOnScreen, surround


@stand_in
class qMRMLThreeDView(ViewOnScreen):
    """The picture of the scene in 3-D, drawn by Slicer's displayable managers."""

    def mrmlViewNode(self) -> Any:
        return self.offscreen.node

    def resetFocalPoint(self) -> None:
        self.offscreen.reset_camera()

    def resetCamera(self, *_: bool) -> None:
        self.offscreen.reset_camera()


@stand_in
class qMRMLThreeDWidget(QWidget):
    """A 3-D view; the real one has its controls above."""

    def __init__(self, name: str = "1") -> None:
        super().__init__()
        self._view = qMRMLThreeDView(ThreeDView(name, (400, 400)))
        surround(self, self._view)

    def threeDView(self) -> qMRMLThreeDView:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.offscreen.node

    def viewLogic(self) -> Any:
        return self._view.offscreen.logic
