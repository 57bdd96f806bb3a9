"""Lesions measured: volume, longest axial diameter, mean HU."""

from __future__ import annotations

import numpy as np

from sammix_core.lesions.diameter import longest_diameter
from sammix_core.lesions.lesion import Lesion
from sammix_core.masks.components import component_boxes
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.refinement.protocol import Ijk
from sammix_core.volume.volume import Volume

# RECIST 1.1: a lesion is measurable from 10 mm on, or from twice the slice distance where that is more.
_MEASURABLE_MM = 10.0


def measure_lesions(volume: Volume, lesions: np.ndarray) -> list[Lesion]:
    """Measures each lesion.

    Args:
        volume: The CT.
        lesions: (k, j, i), as `lesion_components` returns it.

    Returns:
        One entry for each lesion, by number.
    """
    return [measure_lesion(volume, mask, number) for number, mask in lesion_masks(lesions).items()]


def lesion_masks(lesions: np.ndarray) -> dict[int, BoxedMask]:
    """The mask of each lesion, by number.

    Args:
        lesions: (k, j, i), as `lesion_components` returns it.
    """
    return {
        number: BoxedMask.pack(lesions[box] == number, tuple(part.start for part in box))
        for number, box in enumerate(component_boxes(lesions), start=1)
        if box is not None
    }


def measure_lesion(volume: Volume, mask: BoxedMask, number: int) -> Lesion:
    """Measures one lesion.

    Args:
        volume: The CT.
        mask: Its voxels.
        number: Its number.

    Raises:
        ValueError: The mask does not fit into the CT.
    """
    inside = mask.unpack()
    voxels = np.argwhere(inside) + mask.start
    if (voxels.max(0) >= volume.shape_kji).any():
        raise ValueError("the lesion lies outside the CT")
    k, j, i = voxels.mean(0).round(1).tolist()
    diameter = _diameter(volume, mask) if volume.spacing_known else None
    order = volume.axial_order
    measurable_mm = max(_MEASURABLE_MM, 2 * order.spacing(volume.spacing)[0])
    return Lesion(
        number=number,
        voxels=len(voxels),
        volume_ml=volume.mask_volume_ml(mask.on(volume.shape_kji)),
        longest_axial_mm=None if diameter is None else diameter[0],
        measurable=None if diameter is None else diameter[0] >= measurable_mm,
        diameter_ends_ijk=None if diameter is None else diameter[1],
        centre_ijk=(i, j, k),
        mean_hu=float(volume.array[mask.box][inside].mean(dtype=np.float64)),
    )


def _diameter(volume: Volume, mask: BoxedMask) -> tuple[float, tuple[Ijk, Ijk]] | None:
    order = volume.axial_order
    axial = order.forward(mask.unpack())
    diameter = longest_diameter(axial, order.spacing(volume.spacing)[1:])
    if diameter is None:
        return None
    first, last = (_voxel_of(volume, mask, axial, diameter.slice, end) for end in diameter.ends)
    return diameter.mm, (first, last)


def _voxel_of(volume: Volume, mask: BoxedMask, axial: np.ndarray, index: int, end: tuple[float, float]) -> Ijk:
    """The voxel (i, j, k) whose outline a point on a canonical slice of the mask's box lies on."""
    pixels = np.argwhere(axial[index])
    row, col = pixels[np.abs(pixels - np.array(end)).sum(1).argmin()]
    marked = np.zeros(axial.shape, dtype=bool)
    marked[index, row, col] = True
    k, j, i = (int(index) for index in np.argwhere(volume.axial_order.back(marked))[0] + mask.start)
    return i, j, k
