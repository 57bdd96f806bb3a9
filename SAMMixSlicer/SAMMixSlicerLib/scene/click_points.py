"""Shows the clicks of a volume as points, each on its own slice alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from sammix_core.boxes import Click
from SAMMixSlicerLib.scene.box_geometry import inPlaneAxes
from SAMMixSlicerLib.scene.geometry import ijkToRas
from SAMMixSlicerLib.scene.place_mode import addUnsavedMarkups

COLORS = {True: (60 / 255, 220 / 255, 100 / 255), False: (255 / 255, 80 / 255, 70 / 255)}
_GLYPHS = {True: "ThickCross2D", False: "Diamond2D"}  # told apart without colours, too
_GLYPH_PERCENT = 4.0  # of the view


class ClickPoints:
    """Two point lists, one of the clicks that include and one of those that exclude.

    Slicer itself shows a point in a slice view only while its slice is in view.
    """

    def __init__(self) -> None:
        self._nodes: dict[bool, Any] = {}

    @property
    def nodes(self) -> dict[bool, Any]:
        """The point lists, by whether their clicks include; empty while none was shown yet."""
        return dict(self._nodes)

    def show(self, volumeNode: Any, sliceAxis: str, clicks: Sequence[Click], viewIds: Iterable[str]) -> None:
        """Shows clicks in the given slice views instead of the previous ones."""
        if not clicks and not self._nodes:
            return
        views = list(viewIds)
        for positive in (True, False):
            node = self._nodes.get(positive) or self._createNode(positive)
            chosen = [click for click in clicks if click.positive is positive]
            display = node.GetDisplayNode()
            with slicer.util.NodeModify(node), slicer.util.NodeModify(display):
                # Under the volume's own transform, so that the points follow the voxels.
                node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
                slicer.util.updateMarkupsControlPointsFromArray(node, _positions(volumeNode, sliceAxis, chosen))
                if list(display.GetViewNodeIDs() or ()) != views:
                    display.SetViewNodeIDs(views)
                display.SetVisibility(bool(chosen))

    def hide(self) -> None:
        """Hides all points."""
        for node in self._nodes.values():
            node.GetDisplayNode().SetVisibility(False)

    def remove(self) -> None:
        """Removes the nodes from the scene."""
        nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)

    def _createNode(self, positive: bool) -> Any:
        name = _("SAMMix include") if positive else _("SAMMix exclude")
        node = addUnsavedMarkups("vtkMRMLMarkupsFiducialNode", name, hidden=True)
        display = node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.SetPointLabelsVisibility(False)
            display.SetPropertiesLabelVisibility(False)
            display.SetSelectedColor(*COLORS[positive])
            display.SetColor(*COLORS[positive])
            display.SetGlyphTypeFromString(_GLYPHS[positive])
            display.SetUseGlyphScale(True)
            display.SetGlyphScale(_GLYPH_PERCENT)
        self._nodes[positive] = node
        return node


def _positions(volumeNode: Any, sliceAxis: str, clicks: Sequence[Click]) -> np.ndarray:
    """(n, 3): the middles of the clicks' voxels in RAS mm of the volume, without its transforms."""
    first, second, across = inPlaneAxes(sliceAxis)
    ijk = np.ones((len(clicks), 4))
    ijk[:, first] = [click.i for click in clicks]
    ijk[:, second] = [click.j for click in clicks]
    ijk[:, across] = [click.slice_index for click in clicks]
    return np.ascontiguousarray((ijk @ ijkToRas(volumeNode).T)[:, :3])
