"""qMRMLSliceWidget and qMRMLSliceView: a slice view in a window."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from slicer_host.views.slice_view import SliceView
from slicer_host.widgets.registry import stand_in
from slicer_host.widgets.view_widget import ViewOnScreen


@stand_in
class qMRMLSliceView(ViewOnScreen):
    """The picture of a slice, drawn by Slicer's displayable managers."""

    def mrmlSliceNode(self) -> Any:
        return self.offscreen.node

    def sliceViewInteractorStyle(self) -> Any:
        return self.offscreen.style


@stand_in
class qMRMLSliceWidget(QWidget):
    """A slice view under a bar in its colour, which says where the slice is; the real bar has a slider too."""

    def __init__(self, name: str = "Red", orientation: str = "Axial") -> None:
        super().__init__()
        self._view = qMRMLSliceView(SliceView(name, orientation, (400, 400)))
        self._bar = QLabel()
        self._bar.setFixedHeight(20)
        red, green, blue = (round(255 * share) for share in self.mrmlSliceNode().GetLayoutColor())
        self._bar.setStyleSheet(f"background: rgb({red}, {green}, {blue}); color: black; padding: 0 6px;")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar)
        layout.addWidget(self._view, 1)
        self.mrmlSliceNode().AddObserver(vtk.vtkCommand.ModifiedEvent, self._say_where)
        self._say_where()

    def _say_where(self, *_: Any) -> None:
        node = self.mrmlSliceNode()
        offset = self._view.offscreen.logic.GetSliceOffset()
        letter = node.GetName()[:1]
        self._bar.setText(f"{letter}   {node.GetOrientation()}   {offset:.2f} mm")

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
