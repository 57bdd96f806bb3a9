"""Lesions measured: volume, longest axial diameter, mean HU."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.lesions.diameter import longest_diameter
from sammix_core.lesions.lesion import Lesion
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.volume.volume import Volume

# RECIST 1.1: a lesion can be followed from 10 mm on, or from twice the distance of slices where they are thicker.
_MEASURABLE_MM = 10.0


def measure_lesions(volume: Volume, lesions: np.ndarray) -> list[Lesion]:
    """Measures each lesion.

    Args:
        volume: The CT.
        lesions: (k, j, i) what `lesion_components` gave.

    Returns:
        One entry a lesion, by number.
    """
    return [measure_lesion(volume, mask, number) for number, mask in lesion_masks(lesions).items()]


def lesion_masks(lesions: np.ndarray) -> dict[int, BoxedMask]:
    """Each lesion of what `lesion_components` gave, by number."""
    return {
        number: BoxedMask.pack(lesions[box] == number, tuple(part.start for part in box))
        for number, box in enumerate(ndimage.find_objects(lesions), start=1)
        if box is not None
    }


def measure_lesion(volume: Volume, mask: BoxedMask, number: int) -> Lesion:
    """Measures one lesion.

    Args:
        volume: The CT.
        mask: Its voxels.
        number: What it is called by.

    Raises:
        ValueError: The mask does not fit into the CT.
    """
    inside = mask.unpack()
    places = np.argwhere(inside) + mask.start
    if (places.max(0) >= volume.shape_kji).any():
        raise ValueError("the lesion lies outside the CT")
    k, j, i = places.mean(0).round(1).tolist()
    line = _diameter(volume, mask) if volume.spacing_known else None
    order = volume.axial_order
    least = max(_MEASURABLE_MM, 2 * order.spacing(volume.spacing)[0])
    return Lesion(
        number=number,
        voxels=len(places),
        volume_ml=volume.mask_volume_ml(mask.on(volume.shape_kji)),
        longest_axial_mm=None if line is None else line[0],
        measurable=None if line is None else line[0] >= least,
        diameter_ends_ijk=None if line is None else line[1],
        centre_ijk=(i, j, k),
        mean_hu=float(volume.array[mask.box][inside].mean(dtype=np.float64)),
    )


def _diameter(
    volume: Volume, mask: BoxedMask
) -> tuple[float, tuple[tuple[int, int, int], tuple[int, int, int]]] | None:
    order = volume.axial_order
    axial = order.forward(mask.unpack())
    found = longest_diameter(axial, order.spacing(volume.spacing)[1:])
    if found is None:
        return None
    ends = [_voxel_of(volume, mask, axial, found.slice, end) for end in found.ends]
    return found.mm, (ends[0], ends[1])


def _voxel_of(
    volume: Volume, mask: BoxedMask, axial: np.ndarray, index: int, end: tuple[float, float]
) -> tuple[int, int, int]:
    """The voxel (i, j, k) of the mask whose outline a place on a canonical slice of its box lies on."""
    pixels = np.argwhere(axial[index])
    row, col = pixels[np.abs(pixels - np.array(end)).sum(1).argmin()]
    marked = np.zeros(axial.shape, dtype=bool)
    marked[index, row, col] = True
    k, j, i = (int(one) for one in np.argwhere(volume.axial_order.back(marked))[0] + mask.start)
    return i, j, k
