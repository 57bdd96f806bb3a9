"""A mask of lesions as separate lesions, and as a labelmap together with the liver."""

from __future__ import annotations

import numpy as np

from sammix_core.errors import InputError
from sammix_core.lesions.lesion import FIRST_LESION, LIVER
from sammix_core.masks.components import label_components
from sammix_core.volume.volume import Volume

LEAST_MM3 = 30.0  # a ball of less than 4 mm: at the slices of a CT that is noise
_MOST = 250  # a labelmap of bytes holds no more beside the liver


def lesion_components(volume: Volume, mask: np.ndarray, least_mm3: float = LEAST_MM3) -> np.ndarray:
    """Takes a mask apart into lesions, the largest first.

    Args:
        volume: The CT that the mask lies on.
        mask: (k, j, i), non-zero inside; voxels that touch by a corner belong together.
        least_mm3: Smaller components are left out. Where the spacing is unknown none is.

    Returns:
        (k, j, i) uint8: 0 outside, 1 the largest lesion, 2 the next.

    Raises:
        InputError: The mask lies on another grid, or has more components than a labelmap takes.
    """
    if mask.shape != volume.array.shape:
        raise InputError("The lesions and the CT have different grids.")
    found, count = label_components(mask, corners=True)
    voxels = np.bincount(found.ravel(), minlength=count + 1)
    # As the volume counts it: where slices lie unevenly a voxel's size is that of its slice.
    sizes = {
        number: 1000 * ml if (ml := volume.mask_volume_ml(found == number)) is not None else float(voxels[number])
        for number in _large_enough(volume, voxels, least_mm3)
    }
    kept = [n for n in sorted(sizes, key=lambda n: (-sizes[n], n)) if not volume.spacing_known or sizes[n] >= least_mm3]
    if len(kept) > _MOST:
        raise InputError(f"The mask has {len(kept)} pieces; no more than {_MOST} lesions are told apart.")
    numbers = np.zeros(count + 1, dtype=np.uint8)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[found]


def _large_enough(volume: Volume, voxels: np.ndarray, least_mm3: float) -> list[int]:
    """Components that may be large enough, so that thousands of specks are not measured one by one."""
    positions = volume.slice_positions_mm
    thickest = volume.spacing[2] if positions is None else max(float(np.diff(positions).max()), volume.spacing[2])
    largest_voxel = volume.spacing[0] * volume.spacing[1] * thickest
    least = least_mm3 / largest_voxel if volume.spacing_known else 0
    return [number for number in range(1, len(voxels)) if voxels[number] >= least]


def lesion_labelmap(liver: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Liver and lesions in one labelmap.

    Args:
        liver: (k, j, i), non-zero inside.
        lesions: (k, j, i) what `lesion_components` gave.

    Returns:
        (k, j, i) uint8: 1 liver, 2 and up one lesion each; a lesion wins over the liver round it.
    """
    outside = np.where(np.asarray(liver) != 0, np.uint8(LIVER), np.uint8(0))
    return np.where(lesions > 0, lesions.astype(np.uint8) + np.uint8(FIRST_LESION - 1), outside)
