"""``slicer.app.layoutManager()``: the views, and which of them are laid out."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, QObject, Signal

from slicer_host.widgets.plot_widget import qMRMLPlotWidget
from slicer_host.widgets.slice_widget import qMRMLSliceWidget
from slicer_host.widgets.threed_widget import qMRMLThreeDWidget

_ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class qSlicerLayoutManager(QObject):
    """Slicer's layout logic decides on the layout; a view that was made exists from then on, shown or not."""

    layoutChanged = Signal(int)
    SIGNATURES = ("layoutChanged(int)",)

    def __init__(self) -> None:
        super().__init__()
        self._slices = {name: qMRMLSliceWidget(name, orientation) for name, orientation in _ORIENTATIONS.items()}
        self._threed = [qMRMLThreeDWidget("1")]
        self._plots = [qMRMLPlotWidget("PlotView1")]
        # After the views: it takes up the view nodes that are there, and makes those that are not.
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.GetLayoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._shown = self.layout
        # Other parts of Slicer choose a layout through the node: a chart that is to be shown, for one.
        self._logic.GetLayoutNode().AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._on_layout_node())

    def setLayout(self, layout: int) -> None:
        """Choose a layout by its number in vtkMRMLLayoutNode."""
        self._logic.GetLayoutNode().SetViewArrangement(layout)

    def _on_layout_node(self) -> None:
        if self.layout == self._shown:
            return
        self._shown = self.layout
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            # The logic makes the nodes of a layout, and Slicer's manager a view for each.
            if node.GetLayoutName() not in self._slices:
                name = node.GetLayoutName()
                self._slices[name] = qMRMLSliceWidget(name, node.GetOrientation())
        self.layoutChanged.emit(self._shown)

    layout = Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)
    threeDViewCount = Property(int, lambda self: len(self._threed))
    plotViewCount = Property(int, lambda self: len(self._plots))

    def layoutLogic(self) -> Any:
        return self._logic

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._slices.get(name)

    def threeDWidget(self, index: int) -> qMRMLThreeDWidget:
        return self._threed[index]

    def plotWidget(self, index: int) -> qMRMLPlotWidget:
        return self._plots[index]

    def mrmlSliceLogics(self) -> Any:
        return slicer.app.applicationLogic().GetSliceLogics()

    def mrmlViewLogics(self) -> Any:
        return slicer.app.applicationLogic().GetViewLogics()

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToAll()

    def resetThreeDViews(self) -> None:
        for widget in self._threed:
            widget.threeDView().resetFocalPoint()
