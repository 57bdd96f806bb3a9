"""Probability and score of every slice, as a Slicer table and plot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

_SLICE, _PROBABILITY, _SCORE = "Slice", "Probability", "Score"
_COLORS = {_PROBABILITY: (0.85, 0.45, 0.1), _SCORE: (0.15, 0.55, 0.3)}


def newSliceTable(name: str) -> Any:
    """A table node with the columns slice, probability and score."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
    for column in (_SLICE, _PROBABILITY, _SCORE):
        array = vtk.vtkIntArray() if column == _SLICE else vtk.vtkFloatArray()
        array.SetName(column)
        node.AddColumn(array)
    return node


def fillSliceTable(
    tableNode: Any, sliceCount: int, probabilities: Mapping[int, float], scores: Mapping[int, float]
) -> None:
    """Writes every slice's row; what is not known is NaN, which a plot leaves out."""
    table = tableNode.GetTable()
    table.SetNumberOfRows(sliceCount)
    columns = [table.GetColumnByName(name) for name in (_SLICE, _PROBABILITY, _SCORE)]
    for index in range(sliceCount):
        columns[0].SetValue(index, index)
        columns[1].SetValue(index, probabilities.get(index, math.nan))
        columns[2].SetValue(index, scores.get(index, math.nan))
    table.Modified()
    tableNode.Modified()


def newChart(tableNode: Any, name: str) -> Any:
    """A plot chart node that draws the table's two curves."""
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", slicer.mrmlScene.GenerateUniqueName(name))
    for column in (_PROBABILITY, _SCORE):
        series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", column)
        series.SetAndObserveTableNodeID(tableNode.GetID())
        series.SetXColumnName(_SLICE)
        series.SetYColumnName(column)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetLineWidth(2)
        series.SetColor(*_COLORS[column])
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(name)
    chart.SetXAxisTitle(_("slice"))
    chart.SetYAxisTitle("")
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0, 1.02)
    return chart


def showChart(chartNode: Any) -> None:
    """Shows a chart in a layout with a plot view."""
    slicer.modules.plots.logic().ShowChartInLayout(chartNode)


def removeChart(chartNode: Any) -> None:
    """Removes a chart and its series."""
    while chartNode.GetNumberOfPlotSeriesNodes():
        slicer.mrmlScene.RemoveNode(chartNode.GetNthPlotSeriesNode(0))
    slicer.mrmlScene.RemoveNode(chartNode)
