"""qMRMLSliceWidget and qMRMLSliceView: a slice view in a window."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QWidget

from slicer_host.views.slice_view import SliceView
from slicer_host.widgets.registry import stand_in
from slicer_host.widgets.view_widget import ViewOnScreen, surround


@stand_in
class qMRMLSliceView(ViewOnScreen):
    """The picture of a slice, drawn by Slicer's displayable managers."""

    def mrmlSliceNode(self) -> Any:
        return self.offscreen.node

    def sliceViewInteractorStyle(self) -> Any:
        return self.offscreen.style


@stand_in
class qMRMLSliceWidget(QWidget):
    """A slice view; the real one has the slice's slider above."""

    def __init__(self, name: str = "Red", orientation: str = "Axial") -> None:
        super().__init__()
        self._view = qMRMLSliceView(SliceView(name, orientation, (400, 400)))
        surround(self, self._view)

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def sliceLogic(self) -> Any:
        return self._view.offscreen.logic

    def mrmlSliceNode(self) -> Any:
        return self._view.offscreen.node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._view.offscreen.logic.GetSliceCompositeNode()

    def interactorStyle(self) -> Any:
        return self._view.offscreen.style

    def fitSliceToBackground(self) -> None:
        self._view.offscreen.logic.FitSliceToBackground()
