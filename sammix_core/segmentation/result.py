"""The result of a segmentation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sammix_core.boxes import Box, BoxTrack
from sammix_core.errors import WARNING
from sammix_core.model_store.organs import DEFAULT_ORGAN
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.upsampling import upsampled
from sammix_core.segmentation.review import SliceReview
from sammix_core.segmentation.slice_state import UNSCORED, SliceScores, SliceState
from sammix_core.volume.axial_order import AxialOrder


@dataclass(frozen=True)
class SliceReport:
    """The result on one slice.

    Attributes:
        slice_index: Index along the user's slice axis.
        probability: That the slice shows the structure, in [0, 1].
        boxes: The boxes that were used, sorted by part.
        area_px: Pixels of the mask.
        scores: The figures computed with the mask.
    """

    slice_index: int
    probability: float
    boxes: tuple[Box, ...]
    area_px: int
    scores: SliceScores = UNSCORED

    @classmethod
    def of(cls, state: SliceState, probability: float) -> SliceReport:
        """Reports on a slice of a session."""
        return cls(state.slice_index, probability, state.boxes, state.area_px, state.scores)


@dataclass
class SegmentationResult:
    """A segmented volume.

    Attributes:
        mask: (k, j, i) uint8 on the volume's own grid, 1 inside.
        boxes: The boxes used, in voxel indices of the volume.
        slices: One report a slice, in the order of the user's slice axis.
        seconds: Seconds by stage.
        slices_encoded: How many slices went through the image encoder.
        device: "cpu" or "cuda".
        model: "liver/1.0.0".
        guidance: "embedding_cam".
        notes: Plain sentences for the user, the most important first.
        cam: (slices, h, w) float16 in [0, 1], canonical axial order, on the guidance's grid.
        frame: Where that grid lies on a slice.
        slice_shape: (rows, cols) of a canonical slice.
        axial_order: How the volume was cut into canonical slices; the volume's own unless its header has lost it.
        target: The segmented organ, "liver".
        uncertainty: (k, j, i) uint8 on the volume's own grid, 0 to 100: how far the three masks are apart or how
            likely a voxel is wrong by what its place looks like, the larger, in percent. None unless requested.
        precision: How exactly the encoder computed: "float32", "bfloat16" or "int8".
        refined_by: The refiner of the masks of automatic boxes, "liver-refiner/0.3.0", or None.
        reviews: How much of each slice is expected to be wrong, and why, in the order of `slices`.
    """

    mask: np.ndarray
    boxes: BoxTrack
    slices: list[SliceReport]
    seconds: dict[str, float]
    slices_encoded: int
    device: str
    model: str
    guidance: str
    cam: np.ndarray
    frame: Frame
    slice_shape: tuple[int, int]
    axial_order: AxialOrder
    notes: list[str] = field(default_factory=list)
    target: str = DEFAULT_ORGAN.name
    uncertainty: np.ndarray | None = None
    precision: str = "float32"
    refined_by: str | None = None
    reviews: list[SliceReview] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """The notes that a person must read before the mask is used."""
        return [note for note in self.notes if note.startswith(WARNING)]

    def cam_slice(self, canonical_slice: int) -> np.ndarray:
        """The class activation map on a slice's own pixels.

        Args:
            canonical_slice: Index in canonical axial order.

        Returns:
            (rows, cols) float32 in [0, 1]; 0 outside the network's frame.
        """
        return cam_on_slice(self.cam[canonical_slice].astype(np.float32), self.frame, self.slice_shape)


def cam_on_slice(cam: np.ndarray, frame: Frame, slice_shape: tuple[int, int]) -> np.ndarray:
    """Enlarges a class activation map to a slice's own pixels.

    Args:
        cam: (h, w) float32 in [0, 1], on the guidance's grid.
        frame: Where that grid lies.
        slice_shape: (rows, cols).

    Returns:
        (rows, cols) float32 in [0, 1]; 0 outside the network's frame.
    """
    return np.clip(frame.to_slice(upsampled(cam, frame.size), slice_shape, fill=0.0), 0, 1)
