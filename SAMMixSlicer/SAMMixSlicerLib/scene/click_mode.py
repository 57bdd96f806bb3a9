"""Receives clicks in the views through Slicer's place mode, and leaves no points behind."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SAMMixSlicerLib.scene.place_mode import PlaceMode, isActiveNodeKept
from SAMMixSlicerLib.signals import Signal


class ClickMode(VTKObservationMixin):
    """While it is on, reports each left click in a view as a position.

    Attributes:
        placed: Emits (ras), world RAS mm; by `tick`, after Slicer has processed the click, or before `ended`.
        ended: Emits when it was ended without `stop`: by Esc, another tool, or closing the scene.
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.placed = Signal()
        self.ended = Signal()
        self._node: Any = None
        self._nodesToRemove: list[Any] = []
        self._previousPlaceMode: PlaceMode | None = None

    @property
    def isOn(self) -> bool:
        """Whether clicks are reported."""
        return self._node is not None

    @property
    def isWaiting(self) -> bool:
        """Whether there is a click that was not reported yet."""
        node = self._node
        return node is not None and node.GetNumberOfDefinedControlPoints() > 0

    def start(self) -> None:
        """Starts to report clicks."""
        if self.isOn:
            return
        logic = slicer.app.applicationLogic()
        selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
        # Before our node is added: Slicer makes any new point list the active one.
        self._previousPlaceMode = PlaceMode.current()
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
        node.UnRegister(None)
        node.SetName(_("SAMMix click"))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node = slicer.mrmlScene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetPointLabelsVisibility(False)
        self._node = node
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        selection.SetActivePlaceNodeID(node.GetID())
        interaction.SetPlaceModePersistence(1)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._onChanged)
        self.addObserver(selection, selection.ActivePlaceNodeIDChangedEvent, self._onChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onChanged)

    def stop(self) -> None:
        """Stops reporting clicks, and restores Slicer's default mode."""
        node = self._detachNode()
        if node is None:
            return
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        if interaction.GetCurrentInteractionMode() == interaction.Place and self._isActive(node):
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._restorePlaceMode(node)
        _remove(node)

    def tick(self) -> None:
        """Reports the clicks since the last call; called by the panel's timer."""
        nodes, self._nodesToRemove = self._nodesToRemove, []
        for node in nodes:
            _remove(node)
        node = self._node
        if node is None:
            return
        positions = _positions(node)
        for index in reversed(positions):
            node.RemoveNthControlPoint(index)
        for ras in positions.values():
            self.placed.emit(ras)

    def _isActive(self, node: Any) -> bool:
        return slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID() == node.GetID()

    def _onChanged(self, *_event: Any) -> None:
        node = self._node
        if node is None or isActiveNodeKept():
            return
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        isPlacing = interaction.GetCurrentInteractionMode() == interaction.Place
        if isPlacing and self._isActive(node) and not slicer.mrmlScene.IsClosing():
            return
        self._detachNode()
        if not slicer.mrmlScene.IsClosing():
            self._restorePlaceMode(node)
            for ras in _positions(node).values():  # of clicks since the last tick
                self.placed.emit(ras)
        self._nodesToRemove.append(node)  # not inside Slicer's own event
        self.ended.emit()

    def _restorePlaceMode(self, node: Any) -> None:
        """Restores the previous place mode; the active node only if no one else has changed it since."""
        previous, self._previousPlaceMode = self._previousPlaceMode, None
        if previous is None:
            return
        if self._isActive(node):
            previous.restoreActiveNode()
        previous.restorePersistence()

    def _detachNode(self) -> Any:
        node, self._node = self._node, None
        self.removeObservers()
        return node


def _positions(node: Any) -> dict[int, tuple[float, ...]]:
    """The places that were clicked, world RAS mm, by the index of their control point."""
    positions = {}
    for index in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(index) == node.PositionDefined:
            position = [0.0, 0.0, 0.0]
            node.GetNthControlPointPositionWorld(index, position)
            positions[index] = tuple(position)
    return positions


def _remove(node: Any) -> None:
    if slicer.mrmlScene.IsNodePresent(node):
        slicer.mrmlScene.RemoveNode(node)
