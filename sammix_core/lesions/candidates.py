"""Candidates for lesions without a click: what in the liver is clearly darker than the liver. Experimental.

Fissures, the gallbladder's fossa and, without contrast, vessels are darker too, so a person looks at each. Figures:
docs/msam.md.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.lesions.density import LiverDensity
from sammix_core.lesions.growing import BRIDGE_MM
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.volume.volume import Volume

DARKER_HU = 25.0  # less than the liver's; chosen on lits117
RIM_MM = 3.0  # of the liver's mask, where it is mixed with what lies beside it
_EDGE_SHARE = 0.8


def lesion_candidates(volume: Volume, liver: np.ndarray) -> np.ndarray:
    """Everything that may be a lesion, for a person to look at.

    Args:
        volume: The CT, best in the portal venous phase.
        liver: (k, j, i), non-zero inside.

    Returns:
        (k, j, i) bool; `lesion_components` takes it apart.

    Raises:
        InputError: The liver's mask cannot be used.
    """
    return candidates_in(LiverDensity(volume, liver))


def candidates_in(
    density: LiverDensity, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
) -> np.ndarray:
    """As `lesion_candidates`, in a liver whose density is there already.

    Args:
        density: The liver.
        progress: Told how far it is.
        cancel: Asked now and then.

    Returns:
        (k, j, i) bool on the CT's grid.

    Raises:
        Cancelled: The user stopped.
    """
    stage = ProgressReporter("Looking for lesions", 4, progress, cancel)
    deep = ndimage.distance_transform_edt(density.liver, sampling=density.mm) > RIM_MM
    stage.step()
    dark = deep & (density.smoothed < density.liver_hu - DARKER_HU)
    ball = density.ball(BRIDGE_MM)
    opened = ndimage.binary_opening(dark, ball)
    stage.step()
    found = ndimage.binary_dilation(opened, ball, mask=dark)
    stage.step()
    edge = density.liver & (density.sharper < density.liver_hu - _EDGE_SHARE * DARKER_HU)
    whole = density.on_the_ct(ndimage.binary_dilation(found, ball, mask=edge | found))
    stage.step()
    return whole
