"""Shows the activation map, fill and outline of the mask, and the plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter
from SAMMixSlicerLib.scene import case_node
from SAMMixSlicerLib.scene.cam_overlay import hideOverlay, newOverlay, setMaps, showOverlay
from SAMMixSlicerLib.scene.line_chart import showChart
from SAMMixSlicerLib.scene.slice_plot import fillSliceTable, newChart, newSliceTable
from SAMMixSlicerLib.worker import CamReady, GuidanceFound
from SAMMixSlicerLib.worker.commands import FetchCam


class ShowLogic:
    """Updates the display of the scene from the parameter.

    Args:
        workspace: State shared by the logics.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._case: Case | None = None
        self._maps: dict[int, np.ndarray] = {}
        self._isPlotStale = False
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.parameterChanged.connect(self._onParameterChanged)
        workspace.views.viewsChanged.connect(lambda: self.showMap(workspace.parameter))
        workspace.worker.on(CamReady).connect(self._onCam)
        workspace.worker.on(GuidanceFound).connect(self._onGuidanceFound)

    def tick(self) -> None:
        """Shows new maps and curves together; called by the panel's timer."""
        overlay = None if self._case is None else self._case.node.GetNodeReference(case_node.OVERLAY)
        if self._maps and overlay is not None and self._case is not None:
            maps, self._maps = self._maps, {}
            setMaps(overlay, self._case.sliceAxis, maps)
        if self._isPlotStale:
            self._refreshPlot()

    def showMask(self, parameter: Parameter) -> None:
        """Sets fill and outline of our segment; other segments keep their display."""
        case = self._case
        if case is None or case.labelmap is None or case.segmentationNode.GetDisplayNode() is None:
            return
        display = case.segmentationNode.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.SetSegmentVisibility2DFill(case.segmentId, parameter.showFill)
            display.SetSegmentVisibility2DOutline(case.segmentId, parameter.showOutline)

    def showMap(self, parameter: Parameter) -> None:
        """Shows or hides the activation map, and fetches it if needed."""
        case = self._case
        if case is None:
            return
        overlay = case.node.GetNodeReference(case_node.OVERLAY)
        if not parameter.showMap:
            hideOverlay(overlay)
            return
        if overlay is None:
            if not case.probabilities:
                self._workspace.showMessage(_("There is no activation map yet. Press Segment liver."))
                return
            overlay = newOverlay(case.volumeNode)
            case.node.SetNodeReferenceID(case_node.OVERLAY, overlay.GetID())
            self._workspace.choiceChanged.emit()  # it is no CT to choose
            self._fetchMaps(case)
        showOverlay(overlay, case.volumeNode, parameter.mapOpacity)

    def showPlot(self) -> None:
        """Shows probability and score of the slices in a plot view.

        Raises:
            InputError: There was no run yet.
        """
        case = self._case
        if case is None or not case.probabilities:
            raise InputError(_("There is nothing to plot yet. Press Segment liver."))
        table = case.node.GetNodeReference(case_node.TABLE)
        if table is None:
            table = newSliceTable(f"{case.volumeNode.GetName()} slices")
            case.node.SetNodeReferenceID(case_node.TABLE, table.GetID())
        chart = case.node.GetNodeReference(case_node.CHART)
        if chart is None:
            chart = newChart(table, _("{name}: probability and score").format(name=case.volumeNode.GetName()))
            case.node.SetNodeReferenceID(case_node.CHART, chart.GetID())
        self._refreshPlot()
        showChart(chart)

    def _refreshPlot(self) -> None:
        """Updates the plot's table, if there is one."""
        case, self._isPlotStale = self._case, False
        table = None if case is None else case.node.GetNodeReference(case_node.TABLE)
        if case is None or table is None:
            return
        scores = {index: state.scores.score for index, state in case.states.items() if state.scores.score is not None}
        fillSliceTable(table, case.sliceCount, case.probabilities, scores)

    def _fetchMaps(self, case: Case) -> None:
        self._maps = {}
        case.open()
        # The slice in view first, then the others.
        current = self._workspace.views.current
        if current is not None:
            self._workspace.worker.submit(FetchCam(case.volumeId, (current,)))
        others = tuple(index for index in range(case.sliceCount) if index != current)
        self._workspace.worker.submit(FetchCam(case.volumeId, others))

    def _onCam(self, event: CamReady) -> None:
        if self._case is not None and event.volume_id == self._case.volumeId:
            self._maps[event.slice_index] = event.cam

    def _onGuidanceFound(self, event: GuidanceFound) -> None:
        case = self._case
        if case is None or event.volume_id != case.volumeId:
            return
        if case.node.GetNodeReference(case_node.OVERLAY) is not None:
            self._fetchMaps(case)
        self.showMap(self._workspace.parameter)

    def _onParameterChanged(self, parameter: Parameter) -> None:
        self.showMask(parameter)
        self.showMap(parameter)

    def _onCaseChanged(self, case: Case | None) -> None:
        if self._case is not None and not self._workspace.isSceneBusy:
            hideOverlay(self._case.node.GetNodeReference(case_node.OVERLAY))
        if self._case is not None:
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case, self._maps = case, {}
        if case is not None:
            case.changed.connect(self._onSlicesChanged)
            self._onParameterChanged(self._workspace.parameter)

    def _onSlicesChanged(self, _indices: Any) -> None:
        self._isPlotStale = True
