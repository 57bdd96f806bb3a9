"""Clicks in the views: Slicer's own place mode, which leaves nothing behind."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SAMMixSlicerLib.scene.placing import NextPlaced
from SAMMixSlicerLib.signals import Signal


class ClickMode(VTKObservationMixin):
    """While it is on, each click of the left button in a view is told as a place.

    Attributes:
        placed: Emits (ras), world RAS mm; told by `tick`, when Slicer is done with the click.
        ended: Emits when it went off without `stop`: Esc, another tool, the scene closed.
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.placed = Signal()
        self.ended = Signal()
        self._node: Any = None
        self._leaving: list[Any] = []
        self._before: tuple[NextPlaced, int] | None = None

    @property
    def isOn(self) -> bool:
        """Whether clicks are taken."""
        return self._node is not None

    @property
    def isWaiting(self) -> bool:
        """Whether there is a click that was not told yet."""
        node = self._node
        return node is not None and node.GetNumberOfDefinedControlPoints() > 0

    def start(self) -> None:
        """Takes clicks from now on."""
        if self.isOn:
            return
        logic = slicer.app.applicationLogic()
        selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
        # Before our node is there: Slicer makes any new list of points the one to place next.
        self._before = NextPlaced.current(), interaction.GetPlaceModePersistence()
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
        """Takes no more clicks, and goes back to Slicer's usual mode."""
        node = self._forget()
        if node is None:
            return
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        if interaction.GetCurrentInteractionMode() == interaction.Place and self._isActive(node):
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._leave(node)
        _remove(node)

    def tick(self) -> None:
        """Tells the clicks since the last time; called by the panel's timer."""
        leaving, self._leaving = self._leaving, []
        for node in leaving:
            _remove(node)
        node = self._node
        if node is None:
            return
        places = []
        for index in reversed(range(node.GetNumberOfControlPoints())):
            if node.GetNthControlPointPositionStatus(index) == node.PositionDefined:
                place = [0.0, 0.0, 0.0]
                node.GetNthControlPointPositionWorld(index, place)
                node.RemoveNthControlPoint(index)
                places.append(tuple(place))
        for place in reversed(places):
            self.placed.emit(place)

    def _isActive(self, node: Any) -> bool:
        return slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID() == node.GetID()

    def _onChanged(self, *_event: Any) -> None:
        node = self._node
        if node is None:
            return
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        isPlacing = interaction.GetCurrentInteractionMode() == interaction.Place
        if isPlacing and self._isActive(node) and not slicer.mrmlScene.IsClosing():
            return
        self._forget()
        if not slicer.mrmlScene.IsClosing():
            self._leave(node)
        self._leaving.append(node)  # not from within Slicer's own event
        self.ended.emit()

    def _leave(self, node: Any) -> None:
        """Puts place mode back to how it was, except for what somebody else has chosen since."""
        if self._before is None:
            return
        (nextPlaced, persistence), self._before = self._before, None
        if self._isActive(node):
            nextPlaced.restore()
        slicer.app.applicationLogic().GetInteractionNode().SetPlaceModePersistence(persistence)

    def _forget(self) -> Any:
        node, self._node = self._node, None
        self.removeObservers()
        return node


def _remove(node: Any) -> None:
    if slicer.mrmlScene.IsNodePresent(node):
        slicer.mrmlScene.RemoveNode(node)
