"""Plots loss and Dice of a fine-tuning run while it runs."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from SAMMixSlicerLib.scene.line_chart import (
    fillCurveTable,
    newCurveTable,
    newLineChart,
    removeChart,
    setMaximum,
    showChart,
)

_STEP, _LOSS = "Step", "Loss"
_AUTO, _ORACLE = "Dice, automatic boxes", "Dice, oracle boxes"
_COLORS = {_LOSS: (0.35, 0.35, 0.35), _AUTO: (0.85, 0.45, 0.1), _ORACLE: (0.15, 0.55, 0.3)}
# Points for each curve; more would not be visible.
_MAX_POINTS = 400


class TrainingPlot:
    """The curves of one run; their nodes are not saved with the scene."""

    def __init__(self) -> None:
        self._loss: dict[int, float] = {}
        self._dice: dict[str, dict[int, float]] = {_AUTO: {}, _ORACLE: {}}
        self._firstSteps: dict[str, int] = {}
        self._lastStep = 0
        self._table: Any = None
        self._chart: Any = None

    def addEvent(self, event: dict[str, Any]) -> bool:
        """Adds an event of a run; returns whether a curve has changed."""
        if event.get("event") not in ("step", "dice"):
            return False
        if event["part"] not in self._firstSteps and event["part"] != "end":
            # Every part counts its steps from 1; the curves continue where the previous part ended.
            self._firstSteps[event["part"]] = self._lastStep
        step = self._lastStep if event["part"] == "end" else self._firstSteps[event["part"]] + int(event["step"])
        self._lastStep = max(self._lastStep, step)
        if event["event"] == "step":
            if event["loss"] is not None:
                self._loss[step] = float(event["loss"])
        else:
            for name, key in ((_AUTO, "auto"), (_ORACLE, "oracle")):
                if event[key] is not None:
                    self._dice[name][step] = float(event[key])
        return True

    @property
    def isEmpty(self) -> bool:
        """Whether there is nothing to draw yet."""
        return not self._loss and not any(self._dice.values())

    def curves(self) -> dict[str, dict[int, float]]:
        """Values by step, by the curve's name; Dice keeps its value until it is measured again."""
        steps = self._steps()
        return {_LOSS: self._loss, **{name: _forwardFilled(values, steps) for name, values in self._dice.items()}}

    def refresh(self) -> None:
        """Updates the plot if it is shown."""
        if self._table is not None and slicer.mrmlScene.IsNodePresent(self._table):
            fillCurveTable(self._table, self._steps(), self.curves())
            setMaximum(self._chart, max(1.0, *self._loss.values()))

    def show(self) -> None:
        """Shows the curves in a plot view."""
        if self._chart is None or not slicer.mrmlScene.IsNodePresent(self._chart):
            self.remove()
            self._table = newCurveTable(_("Fine-tuning"), _STEP, _COLORS)
            self._chart = newLineChart(_("Fine-tuning: loss and Dice"), self._table, _COLORS, _("step"))
            series = [self._chart.GetNthPlotSeriesNode(n) for n in range(self._chart.GetNumberOfPlotSeriesNodes())]
            for node in (self._table, self._chart, *series):
                node.SetSaveWithScene(False)
        self.refresh()
        showChart(self._chart)

    def remove(self) -> None:
        """Removes the nodes from the scene."""
        for node, remove in ((self._chart, removeChart), (self._table, slicer.mrmlScene.RemoveNode)):
            if node is not None and slicer.mrmlScene.IsNodePresent(node):
                remove(node)
        self._chart = self._table = None

    def _steps(self) -> list[int]:
        diceSteps = {step for values in self._dice.values() for step in values}
        steps = sorted({*self._loss, *diceSteps})
        stride = max(1, -(-len(steps) // _MAX_POINTS))
        return [step for index, step in enumerate(steps) if index % stride == 0 or step in diceSteps]


def _forwardFilled(values: dict[int, float], steps: list[int]) -> dict[int, float]:
    """Values at all steps from the first value on."""
    filled: dict[int, float] = {}
    last: float | None = None
    for step in steps:
        last = values.get(step, last)
        if last is not None:
            filled[step] = last
    return filled
