"""The user's own place mode: which markups node Slicer places next, and whether the mode stays on.

Slicer makes every markups node that is added the active one, including ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

import slicer

_DEFAULT_CLASS = "vtkMRMLMarkupsFiducialNode"
_isKept: ContextVar[bool] = ContextVar("isKept", default=False)


@dataclass(frozen=True)
class PlaceMode:
    """A place mode to return to.

    Attributes:
        className: Class of the markups node to place.
        nodeId: ID of the markups node to place, or "" for a new one.
        persistence: Whether the mode stays on after a node is placed, 1 or 0.
    """

    className: str
    nodeId: str
    persistence: int

    @classmethod
    def current(cls) -> Self:
        """The place mode as it is now."""
        logic = slicer.app.applicationLogic()
        selection = logic.GetSelectionNode()
        return cls(
            selection.GetActivePlaceNodeClassName() or _DEFAULT_CLASS,
            selection.GetActivePlaceNodeID() or "",
            logic.GetInteractionNode().GetPlaceModePersistence(),
        )

    def restoreActiveNode(self) -> None:
        """Makes the node the active one again; a new one of its class if it was removed since."""
        now = PlaceMode.current()
        if (now.className, now.nodeId) == (self.className, self.nodeId):
            return
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetReferenceActivePlaceNodeClassName(self.className)
        selection.SetReferenceActivePlaceNodeID(self.nodeId if slicer.mrmlScene.GetNodeByID(self.nodeId) else None)

    def restorePersistence(self) -> None:
        """Restores whether the mode stays on after a node is placed."""
        slicer.app.applicationLogic().GetInteractionNode().SetPlaceModePersistence(self.persistence)


@contextmanager
def keepActivePlaceNode() -> Iterator[None]:
    """Leaves the active node as it was, whatever markups nodes the block adds or removes."""
    before, token = PlaceMode.current(), _isKept.set(True)
    try:
        yield
    finally:
        before.restoreActiveNode()
        _isKept.reset(token)


def isActiveNodeKept() -> bool:
    """Whether another active node than before is there for a moment alone, inside `keepActivePlaceNode`."""
    return _isKept.get()


def addUnsavedMarkups(className: str, name: str, hidden: bool = False) -> Any:
    """Adds a markups node that only shows what the case node saves, and leaves the node that is being placed active.

    Args:
        className: "vtkMRMLMarkupsROINode" or another one.
        name: The node's name.
        hidden: Whether the node is locked and left out of other modules' lists.
    """
    node = slicer.mrmlScene.CreateNodeByClass(className)
    node.UnRegister(None)
    node.SetName(name)
    node.SetSaveWithScene(False)
    if hidden:
        node.SetHideFromEditors(True)
        node.SetLocked(True)
    with keepActivePlaceNode():
        node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSaveWithScene(False)
    return node
