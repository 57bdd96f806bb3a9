"""A volume cut into canonical axial slices, with the network's frame on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sammix_core.boxes import NetworkBox
from sammix_core.preprocessing.body_crop import volume_frame
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import slice_image
from sammix_core.volume.axial_order import AxialOrder, SliceBox
from sammix_core.volume.volume import Volume

TYPICAL_PIXEL_MM = 1.5  # of the network's image: a body of 380 mm that fills 256 pixels


@dataclass(frozen=True)
class AxialSlices:
    """Slices as the network sees them, and the way from its pixels to the user's voxels.

    Attributes:
        order: How the volume is cut.
        hu: (slice, row, col) HU, a view of the volume's array.
        slice_mm: Distance of slices in mm.
        frame: Where the network's image lies on a slice.
        preprocessing: The model's.
        shape_kji: Shape of the user's array.
        pixel_mm: Side of a pixel of the network's image in mm; None where the spacing is not known.
    """

    order: AxialOrder
    hu: np.ndarray
    slice_mm: float
    frame: Frame
    preprocessing: PreprocessingSpec
    shape_kji: tuple[int, int, int]
    pixel_mm: float | None = None

    @classmethod
    def cut(cls, volume: Volume, order: AxialOrder, preprocessing: PreprocessingSpec) -> AxialSlices:
        """Cuts a volume by an order, and fits the network's frame to its slices."""
        hu = order.forward(volume.array)
        slice_mm, row_mm, col_mm = order.spacing(volume.spacing)
        frame = volume_frame(hu, (row_mm, col_mm), preprocessing, volume.spacing_known)
        pixel_mm = row_mm / frame.scale_y if volume.spacing_known else None  # the image's own pixels are square
        return cls(order, hu, slice_mm, frame, preprocessing, volume.shape_kji, pixel_mm)

    def __len__(self) -> int:
        return len(self.hu)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(rows, cols) of a canonical slice."""
        return self.hu.shape[1], self.hu.shape[2]

    @property
    def slice_pixel_mm(self) -> tuple[float, float]:
        """(row, col) spacing of a canonical slice; about that of a typical body where the spacing is not known."""
        mm = self.pixel_mm or TYPICAL_PIXEL_MM
        return mm * self.frame.scale_y, mm * self.frame.scale_x

    def image(self, index: int) -> np.ndarray:
        """(size, size) float32 in [0, 1], the encoder's input of a canonical slice."""
        return slice_image(self.hu[index], self.frame, self.preprocessing)

    def slice_index(self, index: int) -> int:
        """The index along the user's slice axis of a canonical slice."""
        return self.order.slice_index(index, self.shape_kji)

    def canonical(self, slice_index: int) -> int:
        """The canonical slice of an index along the user's slice axis."""
        return self.order.canonical_slice(slice_index, self.shape_kji)

    def to_voxels(self, box: NetworkBox) -> SliceBox | None:
        """A box in the network's pixels as edges in the user's two in-plane axes, rounded outwards.

        Returns:
            Half-open (i_min, j_min, i_max, j_max) as `Box` has them, or None where the box misses the slice.
        """
        col_min, row_min, col_max, row_max = self.frame.box_to_slice(box)
        rows, cols = self.plane_shape
        edges = (
            max(0, math.floor(col_min + 1e-6)),
            max(0, math.floor(row_min + 1e-6)),
            min(cols, math.ceil(col_max - 1e-6)),
            min(rows, math.ceil(row_max - 1e-6)),
        )
        if edges[0] >= edges[2] or edges[1] >= edges[3]:
            return None
        return self.order.box_to_volume(edges, self.shape_kji)
