"""qMRMLPlotWidget and qMRMLPlotView: a plot chart node, drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QWidget
from vtk.util.numpy_support import vtk_to_numpy

from slicer_host.widgets.registry import stand_in
from slicer_host.widgets.view_widget import surround

_MARKERS = {
    slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone: vtk.vtkPlotPoints.NONE,
    slicer.vtkMRMLPlotSeriesNode.MarkerStyleCross: vtk.vtkPlotPoints.CROSS,
    slicer.vtkMRMLPlotSeriesNode.MarkerStylePlus: vtk.vtkPlotPoints.PLUS,
    slicer.vtkMRMLPlotSeriesNode.MarkerStyleSquare: vtk.vtkPlotPoints.SQUARE,
    slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle: vtk.vtkPlotPoints.CIRCLE,
    slicer.vtkMRMLPlotSeriesNode.MarkerStyleDiamond: vtk.vtkPlotPoints.DIAMOND,
}


@stand_in
class qMRMLPlotView(QWidget):
    """Draws the chart that the plot view node names, with VTK's charts as the real view does."""

    def __init__(self, name: str = "PlotView1", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        node = slicer.vtkMRMLPlotViewNode()
        node.SetLayoutName(name)
        node.SetLayoutLabel("1")
        self._node = slicer.mrmlScene.AddNode(node)
        self._view = vtk.vtkContextView()
        self._view.GetRenderWindow().SetOffScreenRendering(1)
        self._view.GetRenderer().SetBackground(1, 1, 1)
        self.setMinimumSize(200, 120)
        self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self.update())

    def fitToContent(self) -> None:
        self.update()

    def paintEvent(self, event: Any) -> None:
        self._draw_chart()
        pixels = self._pixels()
        rows, columns, _ = pixels.shape
        image = QImage(pixels.data, columns, rows, columns * 3, QImage.Format_RGB888)
        QPainter(self).drawImage(0, 0, image)

    def _pixels(self) -> np.ndarray:
        window = self._view.GetRenderWindow()
        window.SetSize(self.width, self.height)
        window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(window)
        grab.ReadFrontBufferOff()
        grab.Update()
        columns, rows, _ = grab.GetOutput().GetDimensions()
        scalars = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
        return scalars.reshape(rows, columns, 3)[::-1].copy()

    def _draw_chart(self) -> None:
        self._view.GetScene().ClearItems()
        chart_node = self._node.GetPlotChartNode()
        if chart_node is None:
            return
        chart = vtk.vtkChartXY()
        self._view.GetScene().AddItem(chart)
        chart.SetTitle(chart_node.GetTitle() or "")
        chart.SetShowLegend(bool(chart_node.GetLegendVisibility()))
        chart.GetAxis(vtk.vtkAxis.BOTTOM).SetTitle(chart_node.GetXAxisTitle() or "")
        chart.GetAxis(vtk.vtkAxis.LEFT).SetTitle(chart_node.GetYAxisTitle() or "")
        self._set_range(chart.GetAxis(vtk.vtkAxis.BOTTOM), chart_node.GetXAxisRangeAuto(), chart_node.GetXAxisRange())
        self._set_range(chart.GetAxis(vtk.vtkAxis.LEFT), chart_node.GetYAxisRangeAuto(), chart_node.GetYAxisRange())
        for index in range(chart_node.GetNumberOfPlotSeriesNodes()):
            self._add_series(chart, chart_node.GetNthPlotSeriesNode(index))

    @staticmethod
    def _set_range(axis: Any, automatic: bool, limits: Any) -> None:
        if automatic:
            axis.SetBehavior(vtk.vtkAxis.AUTO)
        else:
            axis.SetBehavior(vtk.vtkAxis.FIXED)
            axis.SetRange(*limits)

    @staticmethod
    def _add_series(chart: Any, series: Any) -> None:
        table_node = series.GetTableNode()
        if table_node is None or table_node.GetTable().GetColumnByName(series.GetYColumnName()) is None:
            return
        bars = series.GetPlotType() in (series.PlotTypeBar, series.PlotTypeScatterBar)
        plot = chart.AddPlot(vtk.vtkChart.BAR if bars else vtk.vtkChart.LINE)
        table, y_name = table_node.GetTable(), series.GetYColumnName()
        if series.IsXColumnRequired():
            plot.SetInputData(table, series.GetXColumnName(), y_name)
        else:
            plot.SetUseIndexForXSeries(True)
            plot.SetInputData(table, y_name, y_name)
        plot.SetLabel(series.GetName())
        red, green, blue = series.GetColor()
        plot.SetColorF(red, green, blue, series.GetOpacity())
        plot.SetWidth(series.GetLineWidth())
        if series.GetLineStyle() == series.LineStyleNone and not bars:
            plot.GetPen().SetLineType(vtk.vtkPen.NO_PEN)
        if not bars:
            plot.SetMarkerStyle(_MARKERS[series.GetMarkerStyle()])
            plot.SetMarkerSize(series.GetMarkerSize())


@stand_in
class qMRMLPlotWidget(QWidget):
    """A plot view; the real one has its controls above."""

    def __init__(self, name: str = "PlotView1") -> None:
        super().__init__()
        self._view = qMRMLPlotView(name)
        surround(self, self._view)

    def plotView(self) -> qMRMLPlotView:
        return self._view

    def mrmlPlotViewNode(self) -> Any:
        return self._view._node
