"""The state of one slice: what undo, a saved scene and a restarted process restore."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sammix_core.boxes import Box, BoxSource, Click
from sammix_core.masks.packed_mask import PackedMask


@dataclass(frozen=True, slots=True)
class SliceScores:
    """The figures computed with a slice's mask; all empty for a slice without one, or with one that a person made.

    The first three are the decoder's, of each box by itself. For a slice with several boxes they are means over its
    boxes, weighted by the area of each box's mask (all alike where every mask is empty), so that a small second part
    says little of a slice that is otherwise good. `cam_agreement` is that of the slice's whole mask.

    Attributes:
        mask_scores: Predicted IoU of the three masks; empty where none was computed.
        score: IoU that the chosen mask predicts of itself; None where none was computed.
        agreement: Share of pixels in any of the three masks that are in all of them, in [0, 1]; None without masks.
        cam_agreement: Dice of the class activation map and the mask, in [0, 1]; None without map or mask.
    """

    mask_scores: tuple[float, ...] = ()
    score: float | None = None
    agreement: float | None = None
    cam_agreement: float | None = None


UNSCORED = SliceScores()


@dataclass(frozen=True, slots=True)
class SliceState:
    """One slice of a session: its boxes and clicks, its mask and who made them.

    Attributes:
        slice_index: Index along the user's slice axis.
        boxes: The boxes in use, in voxel indices of the volume, sorted by part.
        automatic_boxes: The boxes that the last run found, whether they are in use or not; "reset" goes back to them.
        deleted: Whether a person took all boxes away, so that no automatic one comes back.
        deleted_boxes: The boxes that a person took away beside others that stay; no automatic one comes back in their
            places.
        mask: The mask; None where the slice is empty.
        scores: The figures computed with the mask.
        corrected: Whether a person made the mask by hand; it is protected from being computed again.
        clicks: A person's clicks, sorted by voxel; the mask is what they made of `unclicked`.
        unclicked: The mask without the clicks, from the boxes or by hand; None where that is empty, or without clicks.
    """

    slice_index: int
    boxes: tuple[Box, ...] = ()
    automatic_boxes: tuple[Box, ...] = ()
    deleted: bool = False
    deleted_boxes: tuple[Box, ...] = ()
    mask: PackedMask | None = None
    scores: SliceScores = UNSCORED
    corrected: bool = False
    clicks: tuple[Click, ...] = ()
    unclicked: PackedMask | None = None

    @property
    def area_px(self) -> int:
        """Pixels of the mask."""
        return 0 if self.mask is None else self.mask.area_px

    @property
    def prompted(self) -> bool:
        """Whether a person clicked, or set or deleted a box."""
        edited = any(box.source is BoxSource.EDITED for box in self.boxes)
        return edited or self.deleted or bool(self.clicks or self.deleted_boxes)

    def cleared(self) -> SliceState:
        """The slice after a person has said that nothing is there: no box, click or mask; no automatic box returns."""
        return SliceState(self.slice_index, automatic_boxes=self.automatic_boxes, deleted=True)

    def corrected_to(self, mask: np.ndarray) -> SliceState:
        """The slice with a mask that a person made; it takes the place of the clicks.

        Args:
            mask: (rows, cols) in the user's two in-plane axes; what is not 0 is inside.
        """
        return replace(
            self,
            mask=PackedMask.pack(mask) if np.any(mask) else None,
            scores=UNSCORED,
            corrected=True,
            clicks=(),
            unclicked=None,
        )
