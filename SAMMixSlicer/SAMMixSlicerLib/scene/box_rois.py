"""Shows the boxes of the slice in view, each as a markups ROI of its own that the user can drag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sammix_core.boxes import Box
from SAMMixSlicerLib.scene.box_roi import BoxRoi
from SAMMixSlicerLib.signals import Signal


class BoxRois:
    """As many ROI nodes as a slice has boxes; nodes that are not needed are hidden and used again.

    Attributes:
        grabbed: Emits (part) when the user takes hold of a box.
        released: Emits (sliceIndex, part, edges) when a drag has ended.
    """

    def __init__(self) -> None:
        self.grabbed = Signal()
        self.released = Signal()
        self._rois: list[BoxRoi] = []

    @property
    def isDragged(self) -> bool:
        """Whether the user is dragging a box."""
        return any(roi.isDragged for roi in self._rois)

    @property
    def shown(self) -> tuple[BoxRoi, ...]:
        """The ROIs in view, in the order of their boxes."""
        return tuple(roi for roi in self._rois if roi.box is not None)

    def show(
        self, volumeNode: Any, sliceAxis: str, boxes: Sequence[Box], selectedPart: int, viewIds: Iterable[str]
    ) -> None:
        """Shows the boxes of a slice in the given slice views instead of the previous ones.

        Args:
            volumeNode: The CT.
            sliceAxis: "i", "j" or "k".
            boxes: The boxes.
            selectedPart: The part of the one that is selected.
            viewIds: IDs of the slice nodes.
        """
        views = list(viewIds)
        while len(self._rois) < len(boxes):
            roi = BoxRoi()
            roi.grabbed.connect(self.grabbed.emit)
            roi.released.connect(self.released.emit)
            self._rois.append(roi)
        for roi, box in zip(self._rois, boxes, strict=False):
            roi.show(volumeNode, sliceAxis, box, views)
        for roi in self._rois[len(boxes) :]:
            roi.hide()
        self.select(selectedPart)

    def select(self, part: int) -> None:
        """Draws the box of a part in full, and the others faintly."""
        for roi in self.shown:
            roi.setFaint(roi.box is not None and roi.box.part != part)

    def hide(self) -> None:
        """Hides all boxes."""
        for roi in self._rois:
            roi.hide()

    def remove(self) -> None:
        """Removes the nodes from the scene."""
        for roi in self._rois:
            roi.remove()
