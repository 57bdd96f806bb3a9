"""Draws curves in a Slicer plot: a table with a column for each curve, a series for each column, and a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import slicer
import vtk

_LEGEND_SHARE = 0.12  # of the height of a small plot view, for each line of the legend
Color = tuple[float, float, float]


def newCurveTable(name: str, xName: str, curves: Iterable[str]) -> Any:
    """Creates a table node with an integer column for x and a float column for each curve."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
    for column in (xName, *curves):
        array = vtk.vtkIntArray() if column == xName else vtk.vtkFloatArray()
        array.SetName(column)
        node.AddColumn(array)
    return node


def fillCurveTable(tableNode: Any, xs: Sequence[int], curves: Mapping[str, Mapping[int, float]]) -> None:
    """Writes all rows; missing values are NaN, which a plot leaves out.

    Args:
        tableNode: From `newCurveTable`.
        xs: The first column.
        curves: Values by x, by the curve's name.
    """
    table = tableNode.GetTable()
    table.SetNumberOfRows(len(xs))
    for row, x in enumerate(xs):
        table.GetColumn(0).SetValue(row, x)
    for name, values in curves.items():
        column = table.GetColumnByName(name)
        for row, x in enumerate(xs):
            column.SetValue(row, values.get(x, math.nan))
    table.Modified()
    tableNode.Modified()


def newLineChart(name: str, tableNode: Any, colors: Mapping[str, Color], xTitle: str) -> Any:
    """Creates a plot chart node with one line for each named column.

    Args:
        name: Name and title of the chart.
        tableNode: From `newCurveTable`; its first column is x.
        colors: Red, green and blue in [0, 1], by the curve's name.
        xTitle: Title of the x axis.
    """
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", slicer.mrmlScene.GenerateUniqueName(name))
    for column, color in colors.items():
        series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", column)
        series.SetAndObserveTableNodeID(tableNode.GetID())
        series.SetXColumnName(tableNode.GetColumnName(0))
        series.SetYColumnName(column)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetLineWidth(2)
        series.SetColor(*color)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(name)
    chart.SetXAxisTitle(xTitle)
    chart.SetYAxisTitle("")
    return chart


def setMaximum(chartNode: Any, maximum: float) -> None:
    """Scales the y axis from 0 to beyond the maximum, with room for the legend above the curves."""
    chartNode.SetYAxisRangeAuto(False)
    chartNode.SetYAxisRange(0, maximum * (1 + _LEGEND_SHARE * chartNode.GetNumberOfPlotSeriesNodes()))


def showChart(chartNode: Any) -> None:
    """Shows a chart in a layout with a plot view."""
    slicer.modules.plots.logic().ShowChartInLayout(chartNode)


def removeChart(chartNode: Any) -> None:
    """Removes a chart and its series."""
    while chartNode.GetNumberOfPlotSeriesNodes():
        slicer.mrmlScene.RemoveNode(chartNode.GetNthPlotSeriesNode(0))
    slicer.mrmlScene.RemoveNode(chartNode)
