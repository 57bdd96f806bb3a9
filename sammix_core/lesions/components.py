"""A mask of lesions as separate lesions, and as a labelmap together with the liver."""

from __future__ import annotations

import numpy as np

from sammix_core.errors import InputError
from sammix_core.lesions.lesion import FIRST_LESION, LIVER, MAX_LESIONS
from sammix_core.masks.components import component_sizes, label_components
from sammix_core.volume.volume import Volume

MIN_MM3 = 30.0  # a ball of less than 4 mm across; with a CT's slice distances that is noise


def lesion_components(volume: Volume, mask: np.ndarray, min_mm3: float = MIN_MM3) -> np.ndarray:
    """Separates a mask into lesions, the largest first.

    Args:
        volume: The CT that the mask lies on.
        mask: (k, j, i), non-zero inside; voxels that touch by a corner belong together.
        min_mm3: Smaller components are dropped, unless the spacing is unknown.

    Returns:
        (k, j, i) uint8: 0 outside, 1 the largest lesion, 2 the next.

    Raises:
        InputError: The mask lies on another grid, or has more than `MAX_LESIONS` components.
    """
    if mask.shape != volume.array.shape:
        raise InputError("The lesions and the CT have different grids.")
    labels, count = label_components(mask, corners=True)
    voxels = component_sizes(labels, count)
    # Measured by the volume: where slices lie unevenly, a voxel's size depends on its slice.
    sizes = {
        label: 1000 * ml if (ml := volume.mask_volume_ml(labels == label)) is not None else float(voxels[label - 1])
        for label in _candidates(volume, voxels, min_mm3)
    }
    kept = [n for n in sorted(sizes, key=lambda n: (-sizes[n], n)) if not volume.spacing_known or sizes[n] >= min_mm3]
    if len(kept) > MAX_LESIONS:
        raise InputError(f"The mask has {len(kept)} separate parts; at most {MAX_LESIONS} lesions are possible.")
    numbers = np.zeros(count + 1, dtype=np.uint8)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[labels]


def _candidates(volume: Volume, voxels: np.ndarray, min_mm3: float) -> list[int]:
    """Labels of components that may be large enough, so that thousands of specks are not measured one by one."""
    positions = volume.slice_positions_mm
    thickest = volume.spacing[2] if positions is None else max(float(np.diff(positions).max()), volume.spacing[2])
    largest_voxel = volume.spacing[0] * volume.spacing[1] * thickest
    min_voxels = min_mm3 / largest_voxel if volume.spacing_known else 0
    return [label for label, size in enumerate(voxels, start=1) if size >= min_voxels]


def lesion_labelmap(liver: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Liver and lesions in one labelmap.

    Args:
        liver: (k, j, i), non-zero inside.
        lesions: (k, j, i), as `lesion_components` returns it.

    Returns:
        (k, j, i) uint8: 1 liver, 2 and up one lesion each; lesions take precedence over the liver.
    """
    outside = np.where(np.asarray(liver) != 0, np.uint8(LIVER), np.uint8(0))
    return np.where(lesions > 0, lesions.astype(np.uint8) + np.uint8(FIRST_LESION - 1), outside)
