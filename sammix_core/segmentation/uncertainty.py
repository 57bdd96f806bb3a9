"""How uncertain each voxel is, in percent: how far its three masks are apart, and what a review doubts; on request."""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np

from sammix_core.volume.axial_order import AxialOrder


class UncertaintyPlanes:
    """Percentages of the slices that have been segmented, one byte a pixel; slices without a mask take no memory."""

    def __init__(self) -> None:
        self._planes: dict[int, np.ndarray] = {}

    def write(self, slice_index: int, spread: np.ndarray, inside: np.ndarray) -> None:
        """Sets one slice.

        Args:
            slice_index: Index along the user's slice axis.
            spread: (rows, cols) float in [0, 1] on canonical slice pixels, 0 where all three masks agree.
            inside: (rows, cols) bool, where a mask may lie; outside it nothing is uncertain.
        """
        percent = np.round(np.clip(spread, 0, 1) * 100).astype(np.uint8)
        self._planes[slice_index] = np.where(inside, percent, np.uint8(0))

    def clear(self) -> None:
        """Forgets all slices."""
        self._planes.clear()

    def volume(
        self,
        shape_kji: tuple[int, int, int],
        order: AxialOrder,
        wanted: Container[int],
        doubts: Mapping[int, np.ndarray],
    ) -> np.ndarray:
        """Assembles the slices.

        Args:
            shape_kji: Shape of the user's array.
            order: How it was cut into canonical slices.
            wanted: Slice indices that have a mask; the masks of others are not apart.
            doubts: (rows, cols) float in [0, 1] of slices on canonical pixels: how likely a pixel is wrong by what its
                place looks like, as `VolumeReviewer.doubts` has it.

        Returns:
            (k, j, i) uint8 from 0 to 100, the larger of the two.
        """
        canonical = np.zeros(order.shape(shape_kji), np.uint8)
        for index, plane in self._planes.items():
            if index in wanted:
                canonical[order.canonical_slice(index, shape_kji)] = plane
        for index, doubt in doubts.items():
            plane = canonical[order.canonical_slice(index, shape_kji)]
            np.maximum(plane, np.round(doubt * 100).astype(np.uint8), out=plane)
        return np.ascontiguousarray(order.back(canonical))
