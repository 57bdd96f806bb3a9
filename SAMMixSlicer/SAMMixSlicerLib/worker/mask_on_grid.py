"""A whole mask on its way to the computing process: packed slices and their grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sammix_core.masks.packed_mask import PackedMask
from SAMMixSlicerLib.array_slices import sliceOf


@dataclass(frozen=True)
class MaskOnGrid:
    """A mask in a few hundred KB instead of 50 MB.

    Attributes:
        shape_kji: Shape of the (k, j, i) array.
        slice_axis: "i", "j" or "k": the axis along which the slices are stacked.
        planes: The non-empty slices, by index along that axis.
        ijk_to_ras: (4, 4), voxel indices to RAS mm.
    """

    shape_kji: tuple[int, int, int]
    slice_axis: str
    planes: Mapping[int, PackedMask] = field(repr=False)
    ijk_to_ras: np.ndarray = field(repr=False)

    def unpack(self) -> np.ndarray:
        """(k, j, i) uint8, 1 inside."""
        mask = np.zeros(self.shape_kji, dtype=np.uint8)
        for index, plane in self.planes.items():
            sliceOf(mask, self.slice_axis, index)[...] = plane.unpack()
        return mask
