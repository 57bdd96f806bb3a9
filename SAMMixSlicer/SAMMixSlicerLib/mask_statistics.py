"""Measures a mask: volume, mean and standard deviation in HU, extent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sammix_core.volume.volume import Volume


@dataclass(frozen=True)
class MaskStatistics:
    """Measurements of a mask.

    Attributes:
        volumeMl: Volume in mL; None if the spacing is unknown.
        meanHu: Mean of its voxels; None if it is empty.
        sdHu: Standard deviation of its voxels; None if it is empty.
        extentMm: From first to last voxel, edge to edge, along the axes nearest to right-left, anterior-posterior and
            inferior-superior; None if it is empty or the spacing is unknown.
        slices: Number of slices with at least one voxel.
    """

    volumeMl: float | None
    meanHu: float | None
    sdHu: float | None
    extentMm: tuple[float, float, float] | None
    slices: int


def maskStatistics(mask: np.ndarray, volume: Volume) -> MaskStatistics:
    """Measures a mask.

    Args:
        mask: (k, j, i) uint8 on the volume's grid; non-zero inside.
        volume: The CT, with its geometry in world coordinates.
    """
    # Canonical axes: slice to superior, row to posterior, column to the left.
    inside = volume.axial_order.forward(mask) != 0
    if not inside.any():
        return MaskStatistics(volume.mask_volume_ml(mask), None, None, None, 0)
    values = volume.array[mask != 0].astype(np.float64)
    occupied = [
        np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)
    ]
    spacing = volume.axial_order.spacing(volume.spacing)
    lengths = [(int(indices[-1] - indices[0]) + 1) * step for indices, step in zip(occupied, spacing, strict=True)]
    return MaskStatistics(
        volumeMl=volume.mask_volume_ml(mask),
        meanHu=float(values.mean()),
        sdHu=float(values.std()),
        extentMm=(lengths[2], lengths[1], lengths[0]) if volume.spacing_known else None,
        slices=len(occupied[0]),
    )
