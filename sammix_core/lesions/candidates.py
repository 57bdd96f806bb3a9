"""Candidates for lesions without a click: regions in the liver that are clearly darker than the liver. Experimental.

Fissures, the gallbladder fossa and, without contrast, vessels are darker too, so a person checks each. Figures:
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
RIM_MM = 3.0  # of the liver's mask, where its neighbours contribute to the HU
_EDGE_SHARE = 0.8


def lesion_candidates(volume: Volume, liver: np.ndarray) -> np.ndarray:
    """Everything that may be a lesion, for a person to check.

    Args:
        volume: The CT, best in the portal venous phase.
        liver: (k, j, i), non-zero inside.

    Returns:
        (k, j, i) bool; `lesion_components` separates it.

    Raises:
        InputError: The liver's mask cannot be used.
    """
    return candidates_in(LiverDensity(volume, liver))


def candidates_in(
    density: LiverDensity, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
) -> np.ndarray:
    """Same as `lesion_candidates`, for a liver whose density is computed already.

    Args:
        density: The liver.
        progress: Called after each step.
        cancel: Polled after each step; return True to stop.

    Returns:
        (k, j, i) bool on the CT's grid.

    Raises:
        Cancelled: The user stopped.
    """
    reporter = ProgressReporter("Looking for lesions", 4, progress, cancel)
    deep = ndimage.distance_transform_edt(density.liver, sampling=density.mm) > RIM_MM
    reporter.step()
    dark = deep & (density.smoothed < density.liver_hu - DARKER_HU)
    ball = density.ball(BRIDGE_MM)
    core = ndimage.binary_opening(dark, ball)
    reporter.step()
    grown = ndimage.binary_dilation(core, ball, mask=dark)
    reporter.step()
    edge = density.liver & (density.sharper < density.liver_hu - _EDGE_SHARE * DARKER_HU)
    candidates = density.on_the_ct(ndimage.binary_dilation(grown, ball, mask=edge | grown))
    reporter.step()
    return candidates
