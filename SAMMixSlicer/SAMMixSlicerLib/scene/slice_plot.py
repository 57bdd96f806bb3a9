"""Shows probability and score of every slice in a Slicer table and plot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.scene.line_chart import fillCurveTable, newCurveTable, newLineChart, setMaximum

_SLICE, _PROBABILITY, _SCORE = "Slice", "Probability", "Score"
_COLORS = {_PROBABILITY: (0.85, 0.45, 0.1), _SCORE: (0.15, 0.55, 0.3)}


def newSliceTable(name: str) -> Any:
    """Creates a table node with the columns slice, probability and score."""
    return newCurveTable(name, _SLICE, _COLORS)


def fillSliceTable(
    tableNode: Any, sliceCount: int, probabilities: Mapping[int, float], scores: Mapping[int, float]
) -> None:
    """Writes the row of every slice; missing values are NaN, which a plot leaves out."""
    fillCurveTable(tableNode, range(sliceCount), {_PROBABILITY: probabilities, _SCORE: scores})


def newChart(tableNode: Any, name: str) -> Any:
    """Creates a plot chart node for the table's two curves."""
    chart = newLineChart(name, tableNode, _COLORS, _("slice"))
    setMaximum(chart, 1.0)
    return chart
