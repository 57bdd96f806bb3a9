"""Shows one box of the slice in view as a markups ROI that the user can drag."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import arrayFromVTKMatrix, vtkMatrixFromArray

from sammix_core.boxes import Box, BoxSource
from SAMMixSlicerLib.scene.box_geometry import Edges, boxEdges, boxPose
from SAMMixSlicerLib.scene.geometry import ijkToRas
from SAMMixSlicerLib.scene.place_mode import addUnsavedMarkups
from SAMMixSlicerLib.signals import Signal

# As in the preview's palette, which needs Pillow; a test compares the two.
COLORS = {
    BoxSource.AUTO: (86 / 255, 190 / 255, 255 / 255),
    BoxSource.EDITED: (255 / 255, 110 / 255, 190 / 255),
    BoxSource.INTERPOLATED: (196 / 255, 150 / 255, 255 / 255),
    BoxSource.CARRIED: (240 / 255, 228 / 255, 120 / 255),
}
_FAINT = 0.5


class BoxRoi:
    """One ROI node that shows one box at a time, and reports when the user has dragged it.

    Attributes:
        grabbed: Emits (part) when the user takes hold of it.
        released: Emits (sliceIndex, part, edges) when a drag has ended.
        isDragged: Whether the user is dragging it.
    """

    def __init__(self) -> None:
        self.grabbed = Signal()
        self.released = Signal()
        self._node: Any = None
        self._tags: list[int] = []
        self._handleScale = 1.0
        self.isDragged = False
        self._volumeNode: Any = None
        self._sliceAxis = "k"
        self._box: Box | None = None

    @property
    def node(self) -> Any:
        """The markups ROI node, or None while no box is shown."""
        return self._node

    @property
    def box(self) -> Box | None:
        """The box that is shown, or None."""
        return self._box

    def show(self, volumeNode: Any, sliceAxis: str, box: Box, viewIds: Iterable[str]) -> None:
        """Shows a box in the given slice views instead of the previous one."""
        if self._node is None:
            self._createNode()
        self._volumeNode, self._sliceAxis, self._box = volumeNode, sliceAxis, box
        pose, size = boxPose(ijkToRas(volumeNode), sliceAxis, box.slice_index, box.edges)
        display = self._node.GetDisplayNode()
        with slicer.util.NodeModify(self._node), slicer.util.NodeModify(display):
            # Under the volume's own transform, so that the box follows the voxels.
            self._node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
            self._node.SetAndObserveObjectToNodeMatrix(vtkMatrixFromArray(pose))
            self._node.SetSize(*size)
            display.SetSelectedColor(*COLORS[box.source])
            display.SetColor(*COLORS[box.source])
            views = list(viewIds)
            if list(display.GetViewNodeIDs() or ()) != views:
                display.SetViewNodeIDs(views)
            display.SetVisibility(True)

    def setFaint(self, isFaint: bool) -> None:
        """Draws it faintly and with small handles, where another box of the slice is selected, or in full."""
        display = self._node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.SetOpacity(_FAINT if isFaint else 1.0)
            display.SetInteractionHandleScale(self._handleScale * (_FAINT if isFaint else 1.0))

    def hide(self) -> None:
        """Hides the box."""
        self._box = None
        if self._node is not None:
            self._node.GetDisplayNode().SetVisibility(False)

    def remove(self) -> None:
        """Removes the node from the scene."""
        node, self._node, self._box = self._node, None, None
        if node is not None:
            for tag in self._tags:
                node.RemoveObserver(tag)
            self._tags, self.isDragged = [], False
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)

    def edges(self) -> Edges:
        """The voxels that the ROI covers on its slice at the moment."""
        n_i, n_j, n_k = self._volumeNode.GetImageData().GetDimensions()
        pose = arrayFromVTKMatrix(self._node.GetObjectToNodeMatrix())
        return boxEdges(ijkToRas(self._volumeNode), self._sliceAxis, pose, self._node.GetSize(), (n_k, n_j, n_i))

    def _createNode(self) -> None:
        node = addUnsavedMarkups("vtkMRMLMarkupsROINode", _("SAMMix box"))
        display = node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            self._handleScale = display.GetInteractionHandleScale()
            display.SetFillVisibility(False)
            display.SetHandlesInteractive(True)
            display.SetRotationHandleVisibility(False)
            display.SetPropertiesLabelVisibility(False)
            display.SetPointLabelsVisibility(False)
        self._node = node
        events = slicer.vtkMRMLMarkupsNode
        self._tags = [
            node.AddObserver(events.PointStartInteractionEvent, self._onGrabbed),
            node.AddObserver(events.PointEndInteractionEvent, self._onReleased),
        ]

    def _onGrabbed(self, *_event: Any) -> None:
        self.isDragged = True
        if self._box is not None:
            self.grabbed.emit(self._box.part)

    def _onReleased(self, *_event: Any) -> None:
        self.isDragged = False
        if self._box is not None:
            self.released.emit(self._box.slice_index, self._box.part, self.edges())
