"""What Slicer's place mode would place next, which belongs to the user.

Slicer makes every markups node that is added the next one to place, ours too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import slicer

_DEFAULT_CLASS = "vtkMRMLMarkupsFiducialNode"


@dataclass(frozen=True)
class NextPlaced:
    """What would be placed next.

    Attributes:
        className: Class of the markups node.
        nodeId: ID of the markups node, or "" for a new one.
    """

    className: str
    nodeId: str

    @classmethod
    def current(cls) -> NextPlaced:
        """As it is now."""
        selection = slicer.app.applicationLogic().GetSelectionNode()
        return cls(selection.GetActivePlaceNodeClassName() or _DEFAULT_CLASS, selection.GetActivePlaceNodeID() or "")

    def restore(self) -> None:
        """Makes it so again; a node that has been removed since is replaced by a new one of its class."""
        if self == NextPlaced.current():
            return
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetReferenceActivePlaceNodeClassName(self.className)
        selection.SetReferenceActivePlaceNodeID(self.nodeId if slicer.mrmlScene.GetNodeByID(self.nodeId) else None)


@contextmanager
def nextPlacedKept() -> Iterator[None]:
    """What would be placed next is the same after the block, whatever markups nodes are added or removed in it."""
    before = NextPlaced.current()
    try:
        yield
    finally:
        before.restore()
